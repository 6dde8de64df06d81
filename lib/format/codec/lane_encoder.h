#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "format/codec/lane_decoder.h"

namespace wshare {

// The moves of a block, as find_moves() gives them.
template <typename Bits>
struct Moves {
  std::span<const uint8_t> classes, symbols;
  std::span<const Bits> raw;
};

// Appends the numbers of `lanes` lanes and their words to `out`; every form gives the same bytes.
// `shares` has those of the symbols of each class, some for each symbol that occurs.
template <typename Bits>
void encode_lanes(const Moves<Bits>& moves, const std::array<ShareRanges, kSymbolClasses>& shares,
                  size_t lanes, LaneForm form, std::string& out);

// What encode_lanes() is made of: the numbers, and words that are filled in from the end.
struct LaneSink {
  std::array<uint32_t, kMostLanes> numbers;
  uint16_t* first_word;  // kWordPadding words before what will be written may be written to
};

// Puts `groups` whole groups of kMostLanes before what a sink has, the last one first. `steps` has
// packed_step() of each symbol of each class.
constexpr uint32_t packed_step(const ShareRange& range) {
  return range.count == 0 ? 0 : (range.count - 1) | range.first << kShareBits;
}
#if defined(__x86_64__)
void encode_groups_avx2(const Moves<uint16_t>& moves, const uint32_t* steps, size_t groups,
                        LaneSink& sink);
void encode_groups_avx2(const Moves<uint32_t>& moves, const uint32_t* steps, size_t groups,
                        LaneSink& sink);
#endif

}  // namespace wshare
