#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "format/codec/lanes.h"

namespace wshare {

// The moves of a block, as find_moves() gives them.
template <typename Bits>
struct Moves {
  std::span<const uint8_t> classes, symbols;
  std::span<const Bits> raw;
};

// Appends the numbers of `lanes` lanes and their words to `out`. `shares` has those of the symbols
// of each class, some for each symbol that occurs.
template <typename Bits>
void encode_lanes(const Moves<Bits>& moves, const std::array<ShareRanges, kSymbolClasses>& shares,
                  size_t lanes, std::string& out);

}  // namespace wshare
