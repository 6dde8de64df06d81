#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "format/codec/lanes.h"

namespace wshare {

// How lanes are decoded; every form gives the same bytes.
enum class LaneForm { kScalar, kAvx2, kAvx512 };

// Returns whether the machine at hand has the instructions of `form`.
bool has_lane_form(LaneForm form);

// Returns the fastest form of the machine at hand.
LaneForm best_lane_form();

// Turns the predicted `values` into the actual ones: takes the move of each off `stream`.
//
// Throws Error(kInvalid) if `stream` has too few words, or has not come to an end behind the last
// one; `values` are then undefined.
template <typename Bits>
void decode_lanes(const LaneBlock<Bits>& block, LaneStream& stream, std::span<std::byte> values,
                  LaneForm form);

// What decode_lanes() is made of: take whole groups of kMostLanes off a stream, as long as it has
// words. `values` are those of the groups.
#if defined(__x86_64__)
void decode_groups_avx2(const LaneBlock<uint16_t>& block, LaneStream& stream, size_t groups,
                        std::byte* values);
void decode_groups_avx2(const LaneBlock<uint32_t>& block, LaneStream& stream, size_t groups,
                        std::byte* values);
void decode_groups_avx512(const LaneBlock<uint16_t>& block, LaneStream& stream, size_t groups,
                          std::byte* values);
void decode_groups_avx512(const LaneBlock<uint32_t>& block, LaneStream& stream, size_t groups,
                          std::byte* values);
#endif

}  // namespace wshare
