#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "format/dtype.h"
#include "format/onnx_wire.h"

namespace wshare {

// Returns the number of canonical bytes that the typed field payloads hold for `dtype`.
//
// Throws Error(kInvalid) if the payloads are malformed.
uint64_t typed_byte_size(std::span<const std::byte> file, std::span<const WireField> payloads,
                         const Dtype& dtype);

// Writes the elements of the typed field payloads to `out` as canonical little-endian bytes,
// sub-byte types packed with the low bits first. `out` is zero and has typed_byte_size() bytes.
void decode_typed(std::span<const std::byte> file, std::span<const WireField> payloads,
                  const Dtype& dtype, std::span<std::byte> out);

}  // namespace wshare
