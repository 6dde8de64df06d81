#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "format/byte_sink.h"
#include "format/manifest/manifest.h"

namespace wshare {

// Throws Error(kInvalid) if the derivation of `tensor` cannot give its shape and type: a type that
// is no float, or if it is quantised no integer, an extent of another size than the matrix in it, a multiplier that is not finite.
// Blobs are not looked at.
void check_derivation(const OriginalTensor& tensor);

// Writes the bytes of `tensor`, which has a derivation, to `write`, from the first to the last.
// `bytes_of` gives the bytes of extents. Memory: as decode_residual() and decode_quantised(), whatever
// the shape.
//
// Throws Error(kInvalid) as check_derivation(), or if the residual is damaged.
// Source: docs/bundle-format.md, "Derived tensors".
void derive_tensor(const OriginalTensor& tensor,
                   const std::function<std::span<const std::byte>(const Extent&)>& bytes_of,
                   const ByteSink& write);

}  // namespace wshare
