#include "bundle/start.h"

#include <memory>
#include <set>
#include <tuple>
#include <utility>

#include "bundle/edit.h"
#include "format/bundle_files.h"
#include "format/layout.h"

namespace fs = std::filesystem;

namespace wshare {

// Extents of tensors first. Other gaps are read by restore only and may lie anywhere.
std::vector<StoredExtent> find_stored(const Manifest& manifest, const StoredFiles& files) {
  std::vector<StoredExtent> stored;
  std::set<std::tuple<uint32_t, uint64_t, uint64_t>> seen;
  std::set<uint32_t> tensor_blobs;
  const auto add = [&](const Extent& extent, const ContentHash& hash) {
    if (extent.size == 0 || !seen.insert({extent.blob, extent.offset, extent.size}).second) return;
    stored.push_back({extent, hash, files.bytes(extent)});
  };
  for (const ModelRecord& model : manifest.models) {
    for (const TensorRecord& tensor : model.tensors) {
      add(tensor.extent, tensor.hash);
      tensor_blobs.insert(tensor.extent.blob);
    }
  }
  // Not what lies in an archive of its own: no model is to need that file.
  for (const ArchivedRecord& model : manifest.archived) {
    for (const OriginalTensor& tensor : model.tensors) {
      if (tensor.extent && tensor_blobs.count(tensor.extent->blob) != 0)
        add(*tensor.extent, tensor.hash);
    }
  }
  for (const GapRecord& gap : manifest.gaps) {
    const bool aligned = gap.extent.offset % alignment_of(gap.extent.size) == 0;
    if (aligned && tensor_blobs.count(gap.extent.blob) != 0) add(gap.extent, gap.hash);
  }
  return stored;
}

DraftStart make_start(const Manifest& manifest, const fs::path& folder, unsigned threads) {
  DraftStart start;
  start.manifest = manifest;
  start.files = std::make_shared<const StoredFiles>(folder, manifest);
  start.stored = find_stored(manifest, *start.files);
  start.names = taken_names(folder, manifest);
  start.restored = find_restored_paths(manifest, *start.files, threads);
  return start;
}

}  // namespace wshare
