// The opposite of lane_decoder.cc: begins with the last element, and with what is taken last of it.
#include "format/codec/lane_encoder.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <vector>

namespace wshare {
namespace {

// What adding a symbol with f shares does to a number x < 2^32, without a division: x / f is the
// upper half of x * ceil(2^64 / f), which is exact for f > 1. For f = 1, where 2^64 does not fit,
// one less is taken, x / f comes out as x - 1, and `offset` makes up for it. Source: Granlund,
// Montgomery 1994, "Division by invariant integers using multiplication".
struct Step {
  uint64_t reciprocal = 0;
  uint32_t shares = 0;
  uint32_t offset = 0;
};
using Steps = std::array<std::array<Step, kLaneSymbols>, kSymbolClasses>;

Step step_of(const ShareRange& range) {
  const uint32_t f = range.count;
  if (f == 0) return {};
  return {f == 1 ? UINT64_MAX : UINT64_MAX / f + 1, f, range.first + (f == 1 ? kShares - 1 : 0)};
}

inline void put_word(uint32_t& number, uint16_t*& first_word) {
  *--first_word = static_cast<uint16_t>(number);
  number >>= kWordBits;
}

inline void add_symbol(const Step& step, uint32_t& number, uint16_t*& first_word) {
  if (number >> (32 - kShareBits) >= step.shares) put_word(number, first_word);
  __extension__ using Wide = unsigned __int128;
  const auto quotient = static_cast<uint32_t>(Wide{number} * step.reciprocal >> 64);
  number += quotient * (kShares - step.shares) + step.offset;
}

inline void add_raw(uint32_t bits, unsigned count, uint32_t& number, uint16_t*& first_word) {
  if (uint64_t{number} << count >> 32 != 0) put_word(number, first_word);
  number = number << count | bits;
}

// How many raw bits each symbol has.
constexpr std::array<uint8_t, kLaneSymbols> kRawBits = [] {
  std::array<uint8_t, kLaneSymbols> bits{};
  for (size_t symbol = 0; symbol < kLaneSymbols; ++symbol)
    bits[symbol] = static_cast<uint8_t>(raw_bits_of(symbol));
  return bits;
}();

// Puts `count` elements from number `first` on before what `sink` has, at most as many as there are
// lanes.
template <typename Bits>
void encode_group(const Moves<Bits>& moves, const Steps& steps, size_t first, size_t count,
                  LaneSink& sink) {
  const uint8_t* symbols = moves.symbols.data() + first;
  const uint8_t* classes = moves.classes.data() + first;
  const Bits* raw = moves.raw.data() + first;
  uint16_t* word = sink.first_word;  // in a register
  unsigned most = 0;
  for (size_t lane = 0; lane < count; ++lane)
    most = std::max<unsigned>(most, kRawBits[symbols[lane]]);
  const unsigned pieces = sizeof(Bits) == 2 ? 1 : (most + kPieceBits - 1) / kPieceBits;
  for (unsigned piece = pieces; piece-- > 0;) {
    const unsigned taken = piece * kPieceBits;
    for (size_t lane = count; lane-- > 0;) {
      const unsigned bits = kRawBits[symbols[lane]];
      if (bits <= taken) continue;
      const unsigned some = std::min(bits - taken, kPieceBits);
      const auto taken_bits = static_cast<uint32_t>(raw[lane] >> taken);
      add_raw(taken_bits & ((uint32_t{1} << some) - 1), some, sink.numbers[lane], word);
    }
  }
  for (size_t lane = count; lane-- > 0;)
    add_symbol(steps[classes[lane]][symbols[lane]], sink.numbers[lane], word);
  sink.first_word = word;
}

template <typename Bits>
void encode_scalar(const Moves<Bits>& moves, const std::array<ShareRanges, kSymbolClasses>& shares,
                   size_t lanes, size_t first, LaneSink& sink) {
  const auto steps = std::make_unique<Steps>();
  for (size_t i = 0; i < kSymbolClasses; ++i)
    std::transform(shares[i].begin(), shares[i].end(), (*steps)[i].begin(), step_of);
  size_t i = moves.symbols.size();
  for (const size_t rest = i % lanes; i > first; i -= i % lanes == 0 ? lanes : rest) {
    const size_t some = i % lanes == 0 ? lanes : rest;
    encode_group(moves, *steps, i - some, some, sink);
  }
}

// Returns how many of the first elements are left to vectors.
template <typename Bits>
size_t vector_elements(size_t count, size_t lanes, LaneForm form) {
  return sizeof(Bits) > 4 || lanes != kMostLanes || form == LaneForm::kScalar
             ? 0
             : count / kMostLanes * kMostLanes;
}

template <typename Bits>
void encode_vectors(const Moves<Bits>& moves, const std::array<ShareRanges, kSymbolClasses>& shares,
                    size_t elements, LaneSink& sink) {
#if defined(__x86_64__)
  if constexpr (sizeof(Bits) <= 4) {
    if (elements == 0) return;
    std::vector<uint32_t> steps;
    steps.reserve(kSymbolClasses * kLaneSymbols);
    for (const ShareRanges& ranges : shares)
      std::transform(ranges.begin(), ranges.end(), std::back_inserter(steps), packed_step);
    encode_groups_avx2(moves, steps.data(), elements / kMostLanes, sink);
  }
#endif
}

}  // namespace

template <typename Bits>
void encode_lanes(const Moves<Bits>& moves, const std::array<ShareRanges, kSymbolClasses>& shares,
                  size_t lanes, LaneForm form, std::string& out) {
  // A symbol and each piece give one word at most.
  const size_t count = moves.symbols.size();
  const size_t most = kWordPadding + count * (1 + (sizeof(Bits) * 8 + kPieceBits - 1) / kPieceBits);
  const auto words = std::make_unique_for_overwrite<uint16_t[]>(most);
  LaneSink sink{{}, words.get() + most};
  sink.numbers.fill(kLaneStart);
  const size_t in_vectors = vector_elements<Bits>(count, lanes, form);
  encode_scalar(moves, shares, lanes, in_vectors, sink);
  encode_vectors(moves, shares, in_vectors, sink);
  out.append(reinterpret_cast<const char*>(sink.numbers.data()), lanes * sizeof(uint32_t));
  const auto words_taken = static_cast<size_t>(words.get() + most - sink.first_word);
  out.append(reinterpret_cast<const char*>(sink.first_word), words_taken * sizeof(uint16_t));
}

template void encode_lanes(const Moves<uint16_t>&, const std::array<ShareRanges, kSymbolClasses>&,
                           size_t, LaneForm, std::string&);
template void encode_lanes(const Moves<uint32_t>&, const std::array<ShareRanges, kSymbolClasses>&,
                           size_t, LaneForm, std::string&);
template void encode_lanes(const Moves<uint64_t>&, const std::array<ShareRanges, kSymbolClasses>&,
                           size_t, LaneForm, std::string&);

}  // namespace wshare
