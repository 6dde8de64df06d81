#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "format/bundle_files.h"
#include "format/byte_sink.h"
#include "format/manifest/manifest.h"

namespace wshare {

// What lies in the blobs of a bundle, for its originals: a part of a bundle gives back what it
// holds.
//
// Whatever it gives has the manifest's hash. All functions throw Error(kInvalid) if it has not, or
// if a blob has another size, Error(kIo) if one cannot be read; messages begin with `owner`, the
// name of an original, where they are about it.
class BlobReader {
 public:
  // Files and manifest must outlive this.
  BlobReader(const StoredFiles& files, const Manifest& manifest, unsigned threads,
             uint64_t stripe_bytes = uint64_t{64} << 20);

  // The bytes live as long as this.
  std::span<const std::byte> bytes(const Extent& extent, const ContentHash& hash,
                                   const std::string& what);
  std::span<const std::byte> gap(const std::string& owner, uint64_t index);

  // Writes the bytes of `tensor` piece by piece to `write`; a derived tensor whose hash does not
  // fit shows when all are written. A turned one is written as the original has it: memory is that
  // of a stripe of it, and a derived one is computed once for each stripe.
  void write_tensor(const std::string& owner, const OriginalTensor& tensor, const ByteSink& write);

  // The same as the bundle's models have it, if it is turned.
  void write_stored(const std::string& owner, const OriginalTensor& tensor, const ByteSink& write);

 private:
  void write_turned(const std::string& owner, const OriginalTensor& tensor, const ByteSink& write);

  const StoredFiles& files_;
  const Manifest& manifest_;
  unsigned threads_;
  uint64_t stripe_bytes_;
};

// Returns how many bytes `tensor` has.
uint64_t size_of(const OriginalTensor& tensor);

}  // namespace wshare
