#pragma once

#include <cstddef>
#include <cstdint>

#include "format/codec/float_steps.h"

namespace wshare {

// Finds for each of the `count` elements of `from` the class (FloatSteps::class_of()), and the
// symbol and raw bits (lanes.h) of its move to that of `to`.
//
// Calls for float16 and bfloat16, float32, float64. `from` and `to` may lie at any address.
void find_moves(const std::byte* from, const std::byte* to, size_t count,
                const FloatSteps<uint16_t>& layout, uint16_t top, uint8_t* classes,
                uint8_t* symbols, uint16_t* raw);
void find_moves(const std::byte* from, const std::byte* to, size_t count,
                const FloatSteps<uint32_t>& layout, uint32_t top, uint8_t* classes,
                uint8_t* symbols, uint32_t* raw);
void find_moves(const std::byte* from, const std::byte* to, size_t count,
                const FloatSteps<uint64_t>& layout, uint64_t top, uint8_t* classes,
                uint8_t* symbols, uint64_t* raw);

}  // namespace wshare
