#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "format/codec/float_steps.h"

namespace wshare {

// The coder of the second residual format: what decoder and encoder share.
//
// Elements take turns among up to 32 numbers of 32 bits, the lanes. All lanes read their words from
// one stream, in the order of lanes, so that a vector of them is decoded at once: its words are the
// next ones of the stream, spread over those that need one.
//
// An element's move is how many floats the actual one is after the predicted one. Its symbol is 0,
// or the size of the move in octaves of four steps; what is below these, and the sign as the lowest
// bit, are raw bits. They are taken from the lane as well, where all values have equal shares: so
// there is one stream, and reading them needs nothing but shifts.
// Source: docs/bundle-format.md, "Residuals, codec 2"; J. Duda 2013, "Asymmetric numeral systems".

inline constexpr size_t kMostLanes = 32;
inline constexpr unsigned kShareBits = 12;
inline constexpr uint32_t kShares = uint32_t{1} << kShareBits;
inline constexpr unsigned kWordBits = 16;
inline constexpr uint32_t kLaneStart = uint32_t{1} << kWordBits;  // of a lane at rest
inline constexpr size_t kLaneSymbols = 256;
inline constexpr unsigned kPieceBits = 16;  // of raw bits that a lane gives at a time

// What may be read behind the words of a stream: a group of lanes takes at most one word for each
// symbol and piece, and vectors are read whole.
inline constexpr size_t kWordPadding = kMostLanes * 4;

// The symbol of the largest move of a type with so many bits.
constexpr size_t largest_symbol(unsigned bits) { return 4 * (bits - 1) + 1; }
static_assert(largest_symbol(64) < kLaneSymbols);

// With one table for all classes, symbols are those of the move as it were in the lowest class.
constexpr size_t kClassOctave = 4;  // symbols
constexpr size_t kMostShift = kClassOctave * (kSymbolClasses - 1);
static_assert(largest_symbol(32) + kMostShift < kLaneSymbols);

// How many raw bits come with `symbol`, the sign among them.
constexpr unsigned raw_bits_of(size_t symbol) {
  if (symbol == 0) return 0;
  const auto octave = static_cast<unsigned>(symbol - 1) / 4;
  return (octave > 2 ? octave - 2 : 0) + 1;
}

// The smallest size of a move that has `symbol`, which is not 0.
template <typename Bits>
constexpr Bits smallest_of(size_t symbol) {
  const auto octave = static_cast<unsigned>(symbol - 1) / 4;
  const auto steps = static_cast<Bits>(4 | ((symbol - 1) & 3));
  return octave >= 2 ? static_cast<Bits>(steps << (octave - 2))
                     : static_cast<Bits>(steps >> (2 - octave));
}

// Shares of each symbol; they sum up to kShares, or to 0 if there are none.
using Shares = std::array<uint32_t, kLaneSymbols>;
// Which of the shares of a table are a symbol's.
struct ShareRange {
  uint32_t first = 0, count = 0;
};
using ShareRanges = std::array<ShareRange, kLaneSymbols>;

using SymbolCounts = std::array<uint32_t, kLaneSymbols>;

// An entry of a decoder's table, for each share of a class: symbol, its shares less 1, and which of
// them this is.
constexpr uint32_t entry_of(uint32_t symbol, uint32_t shares, uint32_t at) {
  return symbol | (shares - 1) << 8 | at << 20;
}
constexpr uint32_t entry_symbol(uint32_t entry) { return entry & 0xff; }
constexpr uint32_t entry_shares(uint32_t entry) { return (entry >> 8 & (kShares - 1)) + 1; }
constexpr uint32_t entry_at(uint32_t entry) { return entry >> 20; }

// Words that are not read yet, and the numbers.
struct LaneStream {
  std::array<uint32_t, kMostLanes> numbers;
  const uint16_t* next;
  const uint16_t* end;  // kWordPadding words behind it may be read
};

// How elements of a block are read.
template <typename Bits>
struct LaneBlock {
  const uint32_t* entries;  // kShares for each class, or for one
  FloatSteps<Bits> layout;
  Bits top;      // exponent
  bool shifted;  // one table for all classes
  size_t lanes;  // at most kMostLanes
};

}  // namespace wshare
