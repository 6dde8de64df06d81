#include "remove/relocation.h"

#include <algorithm>
#include <atomic>
#include <optional>
#include <set>

#include "format/layout.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

void number_contents(const Manifest& manifest, const Contents& contents,
                     std::vector<PlanModel>& models) {
  size_t next = 0;
  for (size_t m = 0; m < models.size(); ++m) {
    for (size_t t = 0; t < models[m].tensors.size(); ++t) {
      const uint32_t content = contents.of_tensor[next++];
      models[m].tensors[t].content = content;
      const TensorRecord& tensor = manifest.models[m].tensors[t];
      if (contents.contents[content].hash != tensor.hash)
        fail_damaged(manifest.blobs[tensor.extent.blob].file, "tensor " + in_quotes(tensor.name));
    }
  }
}

// Tensors of one place are compared once, and fronts of others are few: a manifest could have the
// same bytes compared a million times.
void check_overlap(const Manifest& manifest) {
  constexpr uint64_t kMostLayers = 64, kFewBytes = uint64_t{1} << 30;
  uint64_t held = 0, named = 0;
  for (const BlobRecord& blob : manifest.blobs) held += std::min(blob.size, UINT64_MAX - held);
  std::set<ExtentKey> places;
  for (const ModelRecord& model : manifest.models) {
    for (const TensorRecord& tensor : model.tensors) {
      if (places.insert(key_of(tensor.extent)).second)
        named += std::min(tensor.extent.size, UINT64_MAX - named);
    }
  }
  if (named <= kFewBytes || named / kMostLayers <= held) return;
  fail_damaged(kManifestName, "its tensors name " + std::to_string(named) + " bytes of blobs of " +
                                  std::to_string(held));
}

// Compares all tensors of models and plans blobs for them.
void place_tensors(const Manifest& manifest, const StoredFiles& files, unsigned threads,
                   const ProgressFn& progress, Relocation& relocation) {
  check_overlap(manifest);
  std::vector<Bytes> tensors;
  std::vector<PlanModel> models;
  uint64_t total = 0;
  for (const ModelRecord& model : manifest.models) {
    PlanModel& planned = models.emplace_back(PlanModel{model.name, {}});
    for (const TensorRecord& tensor : model.tensors) {
      planned.tensors.push_back({tensor.extent.size, 0, std::nullopt});
      tensors.push_back(files.bytes(tensor.extent));
      total += tensor.extent.size;
    }
  }
  std::atomic<uint64_t> done{0};
  relocation.contents = find_distinct(tensors, threads, [&](uint64_t bytes) {
    if (progress) progress("comparing", done += bytes, total);
  });
  number_contents(manifest, relocation.contents, models);
  std::vector<PlanContent> contents;
  for (const Content& content : relocation.contents.contents)
    contents.push_back({content.bytes.size(), content.host});
  PlanStart start;
  for (const BlobRecord& blob : manifest.blobs) {
    if (blob.hash) start.names.push_back(blob.file);  // files of tasks keep their names
  }
  relocation.plan = make_plan(models, contents, {}, start);
  for (size_t m = 0; m < models.size(); ++m) {
    for (size_t t = 0; t < models[m].tensors.size(); ++t) {
      relocation.moved[key_of(manifest.models[m].tensors[t].extent)] =
          *relocation.plan.extents[m][t];
    }
  }
}

using Claims = std::map<ExtentKey, ContentHash>;

// What packs have that is no tensor of a model.
Claims claims_of_packs(const Manifest& manifest, const Relocation& relocation) {
  Claims claims;
  const auto add = [&](const Extent& extent, const ContentHash& hash) {
    if (extent.size == 0) fail_damaged(kManifestName, "a pack has an extent of no bytes");
    if (relocation.moved.count(key_of(extent)) == 0) claims.emplace(key_of(extent), hash);
  };
  for (const PackRecord& pack : manifest.packs) {
    for (const TensorRecord& tensor : pack.model.tensors) add(tensor.extent, tensor.hash);
    for (const BufferRecord& buffer : pack.buffers) add(buffer.extent, buffer.hash);
  }
  return claims;
}

// The ranges that hold `claims`. One that begins inside another moves along with that, which grows
// where the claim ends later.
PackBlob cover(const Claims& claims) {
  PackBlob blob;
  for (const auto& [place, hash] : claims) {
    const auto& [number, offset, size] = place;
    if (!blob.pieces.empty()) {
      Extent& last = blob.pieces.back().first;
      if (last.blob == number && offset < last.offset + last.size) {
        last.size = std::max(last.size, offset + size - last.offset);
        continue;
      }
    }
    blob.pieces.push_back({{number, offset, size}, 0});
  }
  for (auto& [range, offset] : blob.pieces) {
    offset = align_up(blob.size, alignment_of(range.size));
    blob.size = offset + range.size;
  }
  return blob;
}

void place_packs(const Manifest& manifest, const StoredFiles& files, unsigned threads,
                 Relocation& relocation) {
  const Claims claims = claims_of_packs(manifest, relocation);
  relocation.packs = cover(claims);
  const auto number = static_cast<uint32_t>(relocation.plan.blobs.size());
  auto piece = relocation.packs.pieces.begin();
  for (const auto& [place, hash] : claims) {
    const auto& [blob, offset, size] = place;
    if (content_hash(files.bytes({blob, offset, size}), threads) != hash)
      fail_damaged(manifest.blobs[blob].file, "what a pack has at " + std::to_string(offset));
    while (piece->first.blob != blob || offset >= piece->first.offset + piece->first.size) ++piece;
    relocation.moved[place] = {number, piece->second + (offset - piece->first.offset), size};
  }
}

}  // namespace

Relocation plan_relocation(const Manifest& manifest, const StoredFiles& files, unsigned threads,
                           const ProgressFn& progress) {
  Relocation relocation;
  place_tensors(manifest, files, threads, progress, relocation);
  place_packs(manifest, files, threads, relocation);
  return relocation;
}

void fail_damaged(const std::string& file, const std::string& what) {
  throw Error(ErrorCode::kInvalid, in_quotes(file) + ": is damaged: " + what,
              "'wshare verify' lists all damage");
}

}  // namespace wshare
