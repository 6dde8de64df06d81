#include "format/blob_reader.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "format/derived_tensor.h"
#include "format/dtype.h"
#include "format/transpose.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

using Bytes = std::span<const std::byte>;

// Keeps, of a matrix that comes in pieces, some columns. All numbers are bytes.
struct ColumnSink {
  uint64_t row, first, width;
  std::span<std::byte> columns;
  uint64_t at = 0;  // in the matrix

  void take(Bytes piece) {
    while (!piece.empty()) {
      const uint64_t number = at / row, in_row = at % row;
      const auto size = static_cast<size_t>(std::min<uint64_t>(piece.size(), row - in_row));
      const uint64_t begin = std::max(in_row, first), end = std::min(in_row + size, first + width);
      if (begin < end) {
        std::memcpy(columns.data() + number * width + (begin - first),
                    piece.data() + (begin - in_row), static_cast<size_t>(end - begin));
      }
      at += size;
      piece = piece.subspan(size);
    }
  }
};

}  // namespace

uint64_t size_of(const OriginalTensor& tensor) {
  return *byte_size(*find_dtype(tensor.dtype), tensor.shape);
}

BlobReader::BlobReader(const StoredFiles& files, const Manifest& manifest, unsigned threads,
                       uint64_t stripe_bytes)
    : files_(files), manifest_(manifest), threads_(threads), stripe_bytes_(stripe_bytes) {}

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
  tensor.turned ? write_turned(owner, tensor, write) : write_stored(owner, tensor, write);
}

void BlobReader::write_stored(const std::string& owner, const OriginalTensor& tensor,
                              const ByteSink& write) {
  if (tensor.extent)
    return write(bytes(*tensor.extent, tensor.hash, "tensor " + in_quotes(tensor.name)));
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

// A stripe is as many columns as fit, which become rows.
void BlobReader::write_turned(const std::string& owner, const OriginalTensor& tensor,
                              const ByteSink& write) {
  const auto rows = static_cast<uint64_t>(tensor.shape[0]);
  const auto cols = static_cast<uint64_t>(tensor.shape[1]);
  const auto element = static_cast<uint32_t>(find_dtype(tensor.dtype)->bits / 8);
  if (tensor.extent) {
    const Bytes stored = bytes(*tensor.extent, tensor.hash, "tensor " + in_quotes(tensor.name));
    return write_transposed(stored, rows, cols, element, write);
  }
  if (rows == 0) return;
  const uint64_t most = std::max<uint64_t>(1, stripe_bytes_ / element / rows);
  std::vector<std::byte> stripe;
  for (uint64_t first = 0; first < cols; first += most) {
    const uint64_t width = std::min(most, cols - first);
    stripe.resize(static_cast<size_t>(rows * width * element));
    ColumnSink sink{cols * element, first * element, width * element, stripe};
    write_stored(owner, tensor, [&](Bytes piece) { sink.take(piece); });
    write_transposed(stripe, rows, width, element, write);
  }
}

}  // namespace wshare
