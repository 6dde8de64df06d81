// The opposite of lane_decoder.cc: begins with the last element, and with what is taken last of it.
#include "format/codec/lane_encoder.h"

#include <algorithm>
#include <memory>

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

template <typename Bits>
class GroupEncoder {
 public:
  GroupEncoder(const Moves<Bits>& moves, const Steps& steps, uint16_t* words_end)
      : moves_(moves), steps_(steps), first_word_(words_end) {
    numbers_.fill(kLaneStart);
  }

  // Elements [first, first + count), at most as many as there are lanes.
  void encode(size_t first, size_t count) {
    if constexpr (sizeof(Bits) > 2) {
      unsigned most = 0;
      for (size_t lane = 0; lane < count; ++lane)
        most = std::max<unsigned>(most, kRawBits[moves_.symbols[first + lane]]);
      for (unsigned piece = (most + kPieceBits - 1) / kPieceBits; piece > 1; --piece)
        add_pieces(first, count, (piece - 1) * kPieceBits);
    }
    for (size_t lane = count; lane-- > 0;) {
      const unsigned bits = kRawBits[moves_.symbols[first + lane]];
      const unsigned some = std::min<unsigned>(bits, kPieceBits);
      const auto raw = static_cast<uint32_t>(moves_.raw[first + lane] & 0xffff);
      add_raw(raw & ((uint32_t{1} << some) - 1), some, numbers_[lane], first_word_);
    }
    for (size_t lane = count; lane-- > 0;) {
      const size_t i = first + lane;
      add_symbol(steps_[moves_.classes[i]][moves_.symbols[i]], numbers_[lane], first_word_);
    }
  }

  const std::array<uint32_t, kMostLanes>& numbers() const { return numbers_; }
  const uint16_t* first_word() const { return first_word_; }

 private:
  // Of the raw bits, those behind the first `taken`.
  void add_pieces(size_t first, size_t count, unsigned taken) {
    for (size_t lane = count; lane-- > 0;) {
      const unsigned bits = kRawBits[moves_.symbols[first + lane]];
      if (bits <= taken) continue;
      const unsigned some = std::min<unsigned>(bits - taken, kPieceBits);
      const auto piece = static_cast<uint32_t>(moves_.raw[first + lane] >> taken & 0xffff);
      add_raw(piece & ((uint32_t{1} << some) - 1), some, numbers_[lane], first_word_);
    }
  }

  const Moves<Bits>& moves_;
  const Steps& steps_;
  std::array<uint32_t, kMostLanes> numbers_;
  uint16_t* first_word_;
};

}  // namespace

template <typename Bits>
void encode_lanes(const Moves<Bits>& moves, const std::array<ShareRanges, kSymbolClasses>& shares,
                  size_t lanes, std::string& out) {
  const auto steps = std::make_unique<Steps>();
  for (size_t i = 0; i < kSymbolClasses; ++i)
    std::transform(shares[i].begin(), shares[i].end(), (*steps)[i].begin(), step_of);
  // Filled from the end; a symbol and each piece give one at most.
  const size_t count = moves.symbols.size();
  const size_t most = count * (1 + (sizeof(Bits) * 8 + kPieceBits - 1) / kPieceBits);
  const auto words = std::make_unique_for_overwrite<uint16_t[]>(most);
  GroupEncoder<Bits> groups(moves, *steps, words.get() + most);
  size_t i = count - count % lanes;
  groups.encode(i, count - i);
  for (; i > 0; i -= lanes) groups.encode(i - lanes, lanes);
  out.append(reinterpret_cast<const char*>(groups.numbers().data()), lanes * sizeof(uint32_t));
  const auto words_taken = static_cast<size_t>(words.get() + most - groups.first_word());
  out.append(reinterpret_cast<const char*>(groups.first_word()), words_taken * sizeof(uint16_t));
}

template void encode_lanes(const Moves<uint16_t>&, const std::array<ShareRanges, kSymbolClasses>&,
                           size_t, std::string&);
template void encode_lanes(const Moves<uint32_t>&, const std::array<ShareRanges, kSymbolClasses>&,
                           size_t, std::string&);
template void encode_lanes(const Moves<uint64_t>&, const std::array<ShareRanges, kSymbolClasses>&,
                           size_t, std::string&);

}  // namespace wshare
