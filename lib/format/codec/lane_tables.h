#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "format/codec/lanes.h"

namespace wshare {

// Shares in proportion to `weights`, at least one for each that is not 0; none if all are 0.
Shares shares_of(const SymbolCounts& weights);

inline constexpr uint64_t kCostOfBit = 256;

// Shares follow each other in the order of symbols.
ShareRanges ranges_of(const Shares& shares);

// How the shares of a table are written: weights that give about the shares of `counts`, as few
// bits as pay off.
struct LaneTable {
  Shares shares{};
  std::string code;
  uint64_t cost = 0;  // of symbols with these counts and of the code, in parts of a bit
};

// Returns the table for symbols that occur so often; at least one does.
LaneTable make_lane_table(const SymbolCounts& counts);

// Takes the code of a table off `bytes`.
//
// Throws Error(kInvalid) if that is none, or has a symbol above `largest`.
Shares take_lane_table(std::span<const std::byte>& bytes, size_t largest);

// Writes the kShares entries of a decoder's table.
void fill_entries(const Shares& shares, uint32_t* entries);

}  // namespace wshare
