#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace wshare {

// Residuals are coded in blocks of this size of the tensor; the last one may be shorter.
inline constexpr size_t kResidualBlock = size_t{1} << 20;

// Appends the code of what turns `predicted` into `actual`, elements of the float type `dtype`, to
// `out`: nothing if they are equal. Returns how many elements differ.
//
// Both have the same size, at most kResidualBlock.
uint64_t encode_residual_block(std::span<const std::byte> predicted,
                               std::span<const std::byte> actual, int32_t dtype, std::string& out);

// Turns the predicted `values` into the actual ones. `bytes` is not empty.
//
// Throws Error(kInvalid) if `bytes` cannot be a code for them; `values` are then undefined.
void decode_residual_block(std::span<const std::byte> bytes, int32_t dtype,
                           std::span<std::byte> values);

}  // namespace wshare
