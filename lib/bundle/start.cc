#include "bundle/start.h"

#include <set>
#include <tuple>
#include <utility>

#include "bundle/edit.h"
#include "format/layout.h"
#include "util/text.h"
#include "wshare/error.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

// Extents of tensors first, then what removed models have left in the same blobs. Other gaps are
// read by restore only and may lie anywhere.
std::vector<std::pair<Extent, ContentHash>> find_stored(const Manifest& manifest) {
  std::vector<std::pair<Extent, ContentHash>> stored;
  std::set<std::tuple<uint32_t, uint64_t, uint64_t>> seen;
  std::set<uint32_t> tensor_blobs;
  const auto add = [&](const Extent& extent, const ContentHash& hash) {
    if (extent.size == 0 || !seen.insert({extent.blob, extent.offset, extent.size}).second) return;
    stored.emplace_back(extent, hash);
  };
  for (const ModelRecord& model : manifest.models) {
    for (const TensorRecord& tensor : model.tensors) {
      add(tensor.extent, tensor.hash);
      tensor_blobs.insert(tensor.extent.blob);
    }
  }
  for (const GapRecord& gap : manifest.gaps) {
    const bool aligned = gap.extent.offset % alignment_of(gap.extent.size) == 0;
    if (aligned && tensor_blobs.count(gap.extent.blob) != 0) add(gap.extent, gap.hash);
  }
  return stored;
}

}  // namespace

MappedFile open_blob(const BlobRecord& blob, const fs::path& folder) {
  MappedFile file = MappedFile::open(folder / blob.file);
  if (file.bytes().size() != blob.size) {
    throw Error(ErrorCode::kInvalid,
                in_quotes(file.path().string()) + ": has " + std::to_string(file.bytes().size()) +
                    " bytes, the manifest says " + std::to_string(blob.size),
                "'wshare verify' lists all damage");
  }
  return file;
}

void check_model_file(const ModelRecord& record, const MappedFile& file, unsigned threads) {
  if (file.bytes().size() == record.size && content_hash(file.bytes(), threads) == record.hash)
    return;
  throw Error(ErrorCode::kInvalid,
              in_quotes(file.path().string()) + ": is not the file of the manifest",
              "'wshare verify' lists all damage");
}

DraftStart make_start(const Manifest& manifest, const fs::path& folder, unsigned threads) {
  DraftStart start;
  start.manifest = manifest;
  for (const BlobRecord& blob : manifest.blobs) start.blobs.push_back(open_blob(blob, folder));
  for (const auto& [extent, hash] : find_stored(manifest)) {
    start.stored.push_back({extent, hash, slice(start.blobs[extent.blob].bytes(), extent)});
  }
  start.names = names_in_folder(folder);
  for (const BundleFile& file : files_of(manifest)) start.names.push_back(file.name);
  start.restored = find_restored_places(manifest, folder, threads);
  return start;
}

}  // namespace wshare
