#include "verify/claims.h"

#include <algorithm>
#include <optional>
#include <tuple>

namespace wshare {
namespace {

using ClaimsByBlob = std::vector<std::vector<Claim>>;

void add_claim(ClaimsByBlob& claims, const Extent& extent, const ContentHash& hash,
               const std::string& tensor) {
  claims[extent.blob].push_back({extent, hash, tensor});
}

void add_tensors(ClaimsByBlob& claims, const ModelRecord& model) {
  for (const TensorRecord& tensor : model.tensors)
    add_claim(claims, tensor.extent, tensor.hash, tensor.name);
}

void add_source(ClaimsByBlob& claims, const std::optional<SourceRecord>& source,
                const std::string& name) {
  if (source) add_claim(claims, source->record, source->record_hash, name);
}

void sort_and_unite(std::vector<Claim>& claims) {
  // Longest first at one offset: a prefix lies inside its host.
  std::sort(claims.begin(), claims.end(), [](const Claim& a, const Claim& b) {
    return std::tie(a.extent.offset, b.extent.size, a.hash) <
           std::tie(b.extent.offset, a.extent.size, b.hash);
  });
  claims.erase(std::unique(claims.begin(), claims.end(),
                           [](const Claim& a, const Claim& b) {
                             return a.extent == b.extent && a.hash == b.hash;
                           }),
               claims.end());
}

}  // namespace

std::vector<std::vector<Claim>> claims_of(const Manifest& manifest) {
  ClaimsByBlob claims(manifest.blobs.size());
  for (const ModelRecord& model : manifest.models) {
    add_tensors(claims, model);
    add_source(claims, model.source, model.name);
  }
  for (const PackRecord& pack : manifest.packs) {
    add_tensors(claims, pack.model);
    for (const BufferRecord& buffer : pack.buffers)
      add_claim(claims, buffer.extent, buffer.hash, kPackedWeight);
  }
  for (const TaskRecord& task : manifest.tasks) {
    add_source(claims, task.source, task.name);
    for (const OriginalTensor& tensor : task.tensors) {
      if (tensor.extent) add_claim(claims, *tensor.extent, tensor.hash, tensor.name);
    }
  }
  for (const ArchivedRecord& model : manifest.archived) {
    add_claim(claims, model.graph, model.graph_hash, model.name);
    add_source(claims, model.source, model.name);
    for (const OriginalTensor& tensor : model.tensors) {
      if (tensor.extent) add_claim(claims, *tensor.extent, tensor.hash, tensor.name);
    }
  }
  for (const GapRecord& gap : manifest.gaps) add_claim(claims, gap.extent, gap.hash, "gap");
  for (std::vector<Claim>& list : claims) sort_and_unite(list);
  return claims;
}

std::vector<ClaimGroup> group_by_offset(const std::vector<Claim>& claims) {
  std::vector<ClaimGroup> groups;
  for (size_t begin = 0, end = 0; begin < claims.size(); begin = end) {
    while (end < claims.size() && claims[end].extent.offset == claims[begin].extent.offset) ++end;
    groups.emplace_back(&claims[begin], end - begin);
  }
  return groups;
}

void check_group(ClaimGroup group, std::span<const std::byte> blob,
                 const std::function<void(const Claim&, bool)>& visit) {
  ContentHasher hasher;
  ContentHash hash = hasher.digest();
  uint64_t hashed = 0;
  for (auto claim = group.rbegin(); claim != group.rend(); ++claim) {
    const std::span<const std::byte> bytes = slice(blob, claim->extent);
    if (bytes.size() > hashed) {
      hasher.update(bytes.subspan(static_cast<size_t>(hashed)));
      hash = hasher.digest();
      hashed = bytes.size();
    }
    visit(*claim, hash == claim->hash);
  }
}

}  // namespace wshare
