#include "pack/contents.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <utility>

#include "format/layout.h"

namespace fs = std::filesystem;

namespace wshare {

PackContents::PackContents(const Manifest& manifest, const fs::path& folder,
                           std::optional<fs::path> file, std::function<void()> made)
    : blobs_(static_cast<uint32_t>(manifest.blobs.size())),
      files_(folder, manifest),
      new_file_(std::move(file)),
      made_(std::move(made)) {
  const auto add_tensors = [&](const ModelRecord& model) {
    for (const TensorRecord& tensor : model.tensors) known_.emplace(tensor.hash, tensor.extent);
  };
  for (const ModelRecord& model : manifest.models) add_tensors(model);
  for (const PackRecord& pack : manifest.packs) {
    add_tensors(pack.model);
    for (const BufferRecord& buffer : pack.buffers) known_.emplace(buffer.hash, buffer.extent);
  }
  if (new_file_) path_ = folder / new_file_->filename();
}

bool PackContents::is_at(const Extent& extent, Bytes bytes) {
  if (extent.size != bytes.size()) return false;
  if (extent.blob < number()) {
    const Bytes there = files_.bytes(extent);
    return std::memcmp(there.data(), bytes.data(), bytes.size()) == 0;
  }
  if (!new_file_) return true;
  if (!written_ || written_->bytes().size() < extent.offset + extent.size) {
    written_.reset();
    written_.emplace(MappedFile::open(path_));
  }
  const Bytes there = slice(written_->bytes(), extent);
  return std::memcmp(there.data(), bytes.data(), bytes.size()) == 0;
}

std::optional<Extent> PackContents::find_in(const Found& content, std::optional<uint32_t> blob) {
  const auto [begin, end] = known_.equal_range(content.hash);
  for (auto at = begin; at != end; ++at) {
    if ((!blob || at->second.blob == *blob) && is_at(at->second, content.bytes)) return at->second;
  }
  return std::nullopt;
}

bool PackContents::find(std::vector<Found>& contents, bool together) {
  std::set<std::optional<uint32_t>> candidates = {std::nullopt};
  if (together) {
    candidates.clear();
    const auto [begin, end] = known_.equal_range(contents.front().hash);
    for (auto at = begin; at != end; ++at) candidates.insert(at->second.blob);
  }
  for (const std::optional<uint32_t>& blob : candidates) {
    const bool all = std::all_of(contents.begin(), contents.end(), [&](Found& content) {
      const std::optional<Extent> extent = find_in(content, blob);
      if (extent) content.extent = *extent;
      return extent.has_value();
    });
    if (all) return true;
  }
  return false;
}

void PackContents::add(Found& content) {
  if (const std::optional<Extent> extent = find_in(content, number())) {
    content.extent = *extent;
    return;
  }
  const uint64_t offset = align_up(size_, alignment_of(content.bytes.size()));
  if (new_file_ && !file_) {
    file_.emplace(*new_file_);
    made_();
  }
  if (file_) {
    file_->write_zeros(offset - size_);
    file_->write(content.bytes);
  }
  content.extent = {number(), offset, content.bytes.size()};
  size_ = offset + content.bytes.size();
  known_.emplace(content.hash, content.extent);
}

void PackContents::close() {
  if (file_) file_->close();
}

}  // namespace wshare
