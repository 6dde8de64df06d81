#include "bundle/drop_unneeded.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "format/manifest/extents.h"

namespace wshare {
namespace {

// Byte ranges of one blob that something names.
class Coverage {
 public:
  void add(const Extent& extent) {
    uint64_t& end = end_at_[extent.offset];
    end = std::max(end, extent.offset + extent.size);
  }

  // Ends in the order of offsets rise from now on; add() no more.
  void seal() {
    uint64_t last = 0;
    for (auto& [offset, end] : end_at_) end = last = std::max(last, end);
  }

  // True if one range that begins no later than `extent` ends no earlier, after seal().
  bool holds(const Extent& extent) const {
    auto at = end_at_.upper_bound(extent.offset);
    if (at == end_at_.begin()) return false;
    return (--at)->second >= extent.offset + extent.size;
  }

 private:
  std::map<uint64_t, uint64_t> end_at_;
};

using Claim = std::pair<Extent, ContentHash>;

std::vector<Claim> claims_of(const Manifest& manifest) {
  std::vector<Claim> claims;
  for (const ModelRecord& model : manifest.models) {
    for (const TensorRecord& tensor : model.tensors)
      claims.emplace_back(tensor.extent, tensor.hash);
    if (model.source) claims.emplace_back(model.source->record, model.source->record_hash);
  }
  for (const PackRecord& pack : manifest.packs) {
    for (const TensorRecord& tensor : pack.model.tensors)
      claims.emplace_back(tensor.extent, tensor.hash);
    for (const BufferRecord& buffer : pack.buffers) claims.emplace_back(buffer.extent, buffer.hash);
  }
  for (const TaskRecord& task : manifest.tasks) {
    if (task.source) claims.emplace_back(task.source->record, task.source->record_hash);
  }
  for (const ArchivedRecord& model : manifest.archived) {
    claims.emplace_back(model.graph, model.graph_hash);
    claims.emplace_back(model.source->record, model.source->record_hash);
    for (const OriginalTensor& tensor : model.tensors) {
      if (tensor.extent) claims.emplace_back(*tensor.extent, tensor.hash);
    }
  }
  return claims;
}

// Adds to `left`, which has the blobs of `before` still, gaps for all bytes that `before` accounted
// for and nothing in `left` does.
void keep_accounts(const Manifest& before, Manifest& left) {
  std::vector<Coverage> covered(left.blobs.size());
  for (const auto& [extent, hash] : claims_of(left)) covered[extent.blob].add(extent);
  for (const GapRecord& gap : left.gaps) covered[gap.extent.blob].add(gap.extent);
  for (Coverage& coverage : covered) coverage.seal();
  std::vector<Claim> lost;
  for (Claim& claim : claims_of(before)) {
    if (!covered[claim.first.blob].holds(claim.first)) lost.push_back(std::move(claim));
  }
  // Longest first at one offset: a prefix lies inside its host.
  std::sort(lost.begin(), lost.end(), [](const Claim& a, const Claim& b) {
    return std::tie(a.first.blob, a.first.offset, b.first.size) <
           std::tie(b.first.blob, b.first.offset, a.first.size);
  });
  std::optional<Extent> last;
  for (const auto& [extent, hash] : lost) {
    const bool inside = last && last->blob == extent.blob &&
                        extent.offset + extent.size <= last->offset + last->size;
    if (inside) continue;
    left.gaps.push_back({extent, hash});
    last = extent;
  }
}

// The blobs that something in `manifest` needs. A gap alone needs none: restore records lie in one
// blob with the gaps that they name, or say in which others these lie.
std::vector<bool> needed_blobs(Manifest& manifest) {
  std::vector<bool> needed(manifest.blobs.size(), false);
  visit_extents(manifest, [&](Extent& extent) { needed[extent.blob] = true; });
  visit_blob_numbers(manifest, [&](uint32_t blob) { needed[blob] = true; });
  return needed;
}

void drop_blobs(Manifest& manifest, const std::vector<bool>& needed) {
  std::vector<BlobRecord> blobs;
  std::vector<uint32_t> number(needed.size());
  for (size_t b = 0; b < needed.size(); ++b) {
    number[b] = static_cast<uint32_t>(blobs.size());
    if (needed[b]) blobs.push_back(std::move(manifest.blobs[b]));
  }
  visit_extents(manifest, [&](Extent& extent) { extent.blob = number[extent.blob]; });
  visit_blob_numbers(manifest, [&](uint32_t& blob) { blob = number[blob]; });
  for (GapRecord& gap : manifest.gaps) {
    // Records name gaps by number, so one that is gone keeps its place.
    if (needed[gap.extent.blob]) {
      gap.extent.blob = number[gap.extent.blob];
    } else {
      gap = {{}, content_hash({})};
    }
  }
  while (!manifest.gaps.empty() && manifest.gaps.back().extent.size == 0) manifest.gaps.pop_back();
  manifest.blobs = std::move(blobs);
}

}  // namespace

void drop_unneeded(const Manifest& before, Manifest& left) {
  keep_accounts(before, left);
  drop_blobs(left, needed_blobs(left));
}

uint64_t unused_bytes(const Manifest& manifest) {
  std::set<uint32_t> tensor_blobs;
  std::set<ExtentKey> used;  // also what is computed from
  const auto add = [&](const Extent& extent) {
    tensor_blobs.insert(extent.blob);
    used.insert(key_of(extent));
  };
  for (const ModelRecord& model : manifest.models) visit_tensor_extents(model, add);
  for (const PackRecord& pack : manifest.packs) visit_pack_extents(pack, add);
  for (const ArchivedRecord& model : manifest.archived) visit_tensor_extents(model, add);
  uint64_t bytes = 0;
  for (const GapRecord& gap : manifest.gaps) {
    if (tensor_blobs.contains(gap.extent.blob) && !used.contains(key_of(gap.extent)))
      bytes += gap.extent.size;
  }
  return bytes;
}

}  // namespace wshare
