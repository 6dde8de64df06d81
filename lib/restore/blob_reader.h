#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "format/byte_sink.h"
#include "format/manifest.h"
#include "util/mapped_file.h"

namespace wshare {

// The blobs of a bundle, opened as they are needed: a part of a bundle gives back what it holds.
//
// Whatever it gives has the manifest's hash. All functions throw Error(kInvalid) if it has not, or
// if a blob has another size, Error(kIo) if one cannot be read; messages begin with `owner`, the
// name of an original, where they are about it.
class BlobReader {
 public:
  // `manifest` must outlive this.
  BlobReader(std::filesystem::path bundle, const Manifest& manifest, unsigned threads);

  // The bytes live as long as this.
  std::span<const std::byte> bytes(const Extent& extent, const ContentHash& hash,
                                   const std::string& what);
  std::span<const std::byte> gap(const std::string& owner, uint64_t index);

  // Writes the bytes of `tensor` piece by piece to `write`; a derived tensor whose hash does not
  // fit shows when all are written.
  void write_tensor(const std::string& owner, const OriginalTensor& tensor, const ByteSink& write);

 private:
  std::span<const std::byte> at(const Extent& extent);

  std::filesystem::path bundle_;
  const Manifest& manifest_;
  unsigned threads_;
  std::vector<std::optional<MappedFile>> blobs_;  // as in the manifest
};

// Opens the file `name` of `bundle`. Throws Error(kInvalid) if it has not `size` bytes.
MappedFile open_sized(const std::filesystem::path& bundle, const std::string& name, uint64_t size);

// Returns how many bytes `tensor` has.
uint64_t size_of(const OriginalTensor& tensor);

}  // namespace wshare
