#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "format/byte_sink.h"
#include "format/codec/prediction.h"
#include "format/manifest/manifest.h"

namespace wshare {

// The most steps of a chain: each is computed anew for all that follow it.
inline constexpr size_t kMostSteps = 64;

// Throws Error(kInvalid) if the derivation of `tensor` cannot give its shape and type: a type that
// is no float, or if it is quantised no integer, an extent of another size than the matrix in it, a
// multiplier that is not finite. Blobs are not looked at.
void check_derivation(const OriginalTensor& tensor);

// Returns what the derivation of `tensor`, which is not quantised, predicts for it, over the bytes
// that `bytes_of` gives.
Prediction prediction_of(const OriginalTensor& tensor, const BytesOf& bytes_of);

// Writes the bytes of `tensor`, which has a derivation, to `write`, from the first to the last.
// `write` is called in the caller's thread. `bytes_of` gives the bytes of extents. Memory: as
// decode_residual() and decode_quantised(), whatever the shape.
//
// Throws Error(kInvalid) as check_derivation(), or if the residual is damaged.
// Source: docs/bundle-format.md, "Derived tensors".
void derive_tensor(const OriginalTensor& tensor, const BytesOf& bytes_of, const ByteSink& write,
                   unsigned threads = 1);

// Writes to `write` what makes the derivation of `tensor`, which has no residual yet, give
// `actual`. Nothing is written where it does so already. Memory: as encode_residual() and
// encode_quantised().
//
// Throws Error(kInvalid) as check_derivation(), or if `actual` has another size.
void encode_tensor(const OriginalTensor& tensor, std::span<const std::byte> actual,
                   const BytesOf& bytes_of, const ByteSink& write, unsigned threads = 1);

}  // namespace wshare
