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

// Bytes that have a place in a blob of tensors.
struct Placed {
  Extent extent;
  std::optional<ContentHash> hash;  // none: the manifest has none for just these
  Text tensor;
  bool is_base = false;  // of what is computed; no tensor
};

// Those of a model, live or archived, in order.
struct Owner {
  std::string name;
  std::vector<Placed> placed;
};

// Those of all models, then what only archived models need. What these have in archives of their
// own is none of it.
std::vector<Owner> owners_of(const Manifest& manifest) {
  std::vector<Owner> owners;
  std::set<ExtentKey> of_models;
  std::map<ExtentKey, ContentHash> gaps;
  for (const GapRecord& gap : manifest.gaps) gaps.emplace(key_of(gap.extent), gap.hash);
  for (const ModelRecord& model : manifest.models) {
    Owner& owner = owners.emplace_back(Owner{model.name, {}});
    for (const TensorRecord& tensor : model.tensors) {
      owner.placed.push_back({tensor.extent, tensor.hash, tensor.name});
      of_models.insert(key_of(tensor.extent));
    }
  }
  for (const ArchivedRecord& model : manifest.archived) {
    Owner owner{model.name, {}};
    std::set<ExtentKey> seen;
    const auto add = [&](const Extent& extent, const std::optional<ContentHash>& hash,
                         const Text& tensor) {
      if (manifest.blobs[extent.blob].hash || of_models.contains(key_of(extent))) return;
      if (seen.insert(key_of(extent)).second) owner.placed.push_back({extent, hash, tensor});
    };
    for (const OriginalTensor& tensor : model.tensors) {
      if (tensor.extent) add(*tensor.extent, tensor.hash, tensor.name);
    }
    const size_t tensors = owner.placed.size();
    visit_tensor_extents(model, [&](const Extent& extent) {
      const auto gap = gaps.find(key_of(extent));
      add(extent, gap == gaps.end() ? std::nullopt : std::optional(gap->second), {});
    });
    for (size_t i = tensors; i < owner.placed.size(); ++i) owner.placed[i].is_base = true;
    if (!owner.placed.empty()) owners.push_back(std::move(owner));
  }
  return owners;
}

void number_contents(const Manifest& manifest, const std::vector<Owner>& owners,
                     const Contents& contents, std::vector<PlanModel>& models) {
  size_t next = 0;
  for (size_t m = 0; m < models.size(); ++m) {
    for (size_t t = 0; t < models[m].tensors.size(); ++t) {
      const uint32_t content = contents.of_tensor[next++];
      models[m].tensors[t].content = content;
      const Placed& placed = owners[m].placed[t];
      if (placed.hash && contents.contents[content].hash != *placed.hash)
        fail_damaged(manifest.blobs[placed.extent.blob].file, "tensor " + in_quotes(placed.tensor));
    }
  }
}

// Tensors of one place are compared once, and fronts of others are few: a manifest could have the
// same bytes compared a million times.
void check_overlap(const Manifest& manifest, const std::vector<Owner>& owners) {
  constexpr uint64_t kMostLayers = 64, kFewBytes = uint64_t{1} << 30;
  uint64_t held = 0, named = 0;
  for (const BlobRecord& blob : manifest.blobs) held += std::min(blob.size, UINT64_MAX - held);
  std::set<ExtentKey> places;
  for (const Owner& owner : owners) {
    for (const Placed& placed : owner.placed) {
      if (places.insert(key_of(placed.extent)).second)
        named += std::min(placed.extent.size, UINT64_MAX - named);
    }
  }
  if (named <= kFewBytes || named / kMostLayers <= held) return;
  fail_damaged(kManifestName, "its tensors name " + std::to_string(named) + " bytes of blobs of " +
                                  std::to_string(held));
}

// Lists what the manifest would say nothing of.
void list_bases(const std::vector<Owner>& owners, Relocation& relocation) {
  std::set<ExtentKey> claimed;
  std::vector<GapRecord> bases;
  size_t next = 0;
  for (size_t m = 0; m < owners.size(); ++m) {
    for (size_t t = 0; t < owners[m].placed.size(); ++t) {
      const Extent& extent = *relocation.plan.extents[m][t];
      const uint32_t content = relocation.contents.of_tensor[next++];
      if (owners[m].placed[t].is_base) {
        bases.push_back({extent, relocation.contents.contents[content].hash});
      } else {
        claimed.insert(key_of(extent));
      }
    }
  }
  for (const GapRecord& base : bases) {
    if (claimed.insert(key_of(base.extent)).second) relocation.bases.push_back(base);
  }
}

// Compares all tensors and plans blobs for them.
void place_tensors(const Manifest& manifest, const StoredFiles& files, unsigned threads,
                   const ProgressFn& progress, Relocation& relocation) {
  const std::vector<Owner> owners = owners_of(manifest);
  check_overlap(manifest, owners);
  std::vector<Bytes> tensors;
  std::vector<PlanModel> models;
  uint64_t total = 0;
  for (const Owner& owner : owners) {
    PlanModel& planned = models.emplace_back(PlanModel{owner.name, {}});
    for (const Placed& placed : owner.placed) {
      planned.tensors.push_back({placed.extent.size, 0, std::nullopt});
      tensors.push_back(files.bytes(placed.extent));
      total += placed.extent.size;
    }
  }
  std::atomic<uint64_t> done{0};
  relocation.contents = find_distinct(tensors, threads, [&](uint64_t bytes) {
    if (progress) progress("comparing", done += bytes, total);
  });
  number_contents(manifest, owners, relocation.contents, models);
  std::vector<PlanContent> contents;
  for (const Content& content : relocation.contents.contents)
    contents.push_back({content.bytes.size(), content.host});
  PlanStart start;
  for (const BlobRecord& blob : manifest.blobs) {
    if (blob.hash) start.names.push_back(blob.file);  // files of tasks keep their names
  }
  relocation.plan = make_plan(models, contents, {}, start);
  list_bases(owners, relocation);
  for (size_t m = 0; m < models.size(); ++m) {
    for (size_t t = 0; t < models[m].tensors.size(); ++t)
      relocation.moved[key_of(owners[m].placed[t].extent)] = *relocation.plan.extents[m][t];
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
