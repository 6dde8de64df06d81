#include "archive/archive_file.h"

#include <array>
#include <utility>

#include "format/layout.h"

namespace wshare {

ArchiveFile::ArchiveFile(const BundleOutput& output, uint32_t blob, std::string name)
    : output_(output), blob_(blob), name_(std::move(name)), file_(output.create(name_)) {}

Extent ArchiveFile::add(std::span<const std::byte> bytes) {
  start();
  append(bytes);
  return end();
}

void ArchiveFile::start() {
  static constexpr std::array<std::byte, kLineBytes> kZeros{};
  const auto gap = static_cast<size_t>(align_up(size_, kLineBytes) - size_);
  append(std::span(kZeros).first(gap));
  start_ = size_;
}

void ArchiveFile::append(std::span<const std::byte> piece) {
  hasher_.update(piece);
  if (file_) file_->write(piece);
  size_ += piece.size();
}

Extent ArchiveFile::skip(uint64_t bytes) {
  start_ = align_up(size_, kLineBytes);
  size_ = start_ + bytes;
  return end();
}

BlobRecord ArchiveFile::close() {
  output_.take(std::move(file_));
  return {name_, size_, hasher_.digest()};
}

}  // namespace wshare
