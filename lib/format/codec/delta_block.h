#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "format/codec/lane_decoder.h"

namespace wshare {

// How the elements of a block belong to the rows of its tensor.
struct BlockRows {
  uint64_t cols;   // of the tensor, at least 1
  uint64_t first;  // column of the block's first element
};

// Appends the code of what turns `predicted` into `actual`, elements of the float type `dtype`, to
// `out`: nothing if they are equal. Returns how many elements differ.
//
// Both have the same size, at most kResidualBlock.
uint64_t encode_delta_block(std::span<const std::byte> predicted, std::span<const std::byte> actual,
                            int32_t dtype, const BlockRows& rows, LaneForm form, std::string& out);

// Turns the predicted `values` into the actual ones. `bytes` is not empty.
//
// Throws Error(kInvalid) if `bytes` cannot be a code for them; `values` are then undefined.
void decode_delta_block(std::span<const std::byte> bytes, int32_t dtype, const BlockRows& rows,
                        std::span<std::byte> values, LaneForm form);

}  // namespace wshare
