#include "format/blob_reader.h"

#include <utility>

#include "format/derived_tensor.h"
#include "format/dtype.h"
#include "format/transpose.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

using Bytes = std::span<const std::byte>;

}  // namespace

uint64_t size_of(const OriginalTensor& tensor) {
  return *byte_size(*find_dtype(tensor.dtype), tensor.shape);
}

BlobReader::BlobReader(const StoredFiles& files, const Manifest& manifest, unsigned threads)
    : files_(files), manifest_(manifest), threads_(threads) {}

Bytes BlobReader::bytes(const Extent& extent, const ContentHash& hash, const std::string& what) {
  const Bytes bytes = files_.bytes(extent);
  if (content_hash(bytes, threads_) == hash) return bytes;
  throw Error(ErrorCode::kInvalid,
              in_quotes(manifest_.blobs[extent.blob].file) + ": " + what +
                  " is damaged: its bytes do not have the manifest's hash",
              kDamageHint);
}

Bytes BlobReader::gap(const std::string& owner, uint64_t index) {
  if (index >= manifest_.gaps.size()) {
    throw Error(ErrorCode::kInvalid, in_quotes(owner) + ": its restore record names gap " +
                                         std::to_string(index) + ", there are " +
                                         std::to_string(manifest_.gaps.size()));
  }
  const GapRecord& gap = manifest_.gaps[static_cast<size_t>(index)];
  return bytes(gap.extent, gap.hash, "gap " + std::to_string(index));
}

void BlobReader::write_tensor(const std::string& owner, const OriginalTensor& tensor,
                              const ByteSink& write) {
  if (tensor.extent) {
    const Bytes stored = bytes(*tensor.extent, tensor.hash, "tensor " + in_quotes(tensor.name));
    if (!tensor.turned) return write(stored);
    const auto rows = static_cast<uint64_t>(tensor.shape[1]);
    const auto cols = static_cast<uint64_t>(tensor.shape[0]);
    const auto element = static_cast<uint32_t>(find_dtype(tensor.dtype)->bits / 8);
    return write_transposed(stored, rows, cols, element, write);
  }
  ContentHasher hasher;
  const auto pass_on = [&](Bytes piece) {
    hasher.update(piece);
    write(piece);
  };
  try {
    derive_tensor(
        tensor, [&](const Extent& extent) { return files_.bytes(extent); }, pass_on, threads_);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kInvalid) throw;
    throw Error(error.code(), in_quotes(owner) + ": " + error.what(), kDamageHint);
  }
  if (!tensor.derivation->exact || hasher.digest() == tensor.hash) return;
  throw Error(ErrorCode::kInvalid,
              in_quotes(owner) + ": tensor " + in_quotes(tensor.name) +
                  " does not come back as it was: what it is computed from is damaged",
              kDamageHint);
}

}  // namespace wshare
