// An entropy coder: range asymmetric numeral systems with a fixed table per class.
//
// The whole message is one number x. To add a symbol that takes f of 4096 shares, the first of them
// number s, is to set x = x / f * 4096 + s + x % f; to take it back is to see in which symbol's
// shares x % 4096 lies. x grows by a factor of 4096 / f, so log2 of that are the bits spent. x is
// kept in [2^16, 2^32) by moving 16 bits out, and the decoder meets symbols and words in the
// opposite order of the encoder, which therefore begins at the end.
//
// Four numbers take turns, since each step waits for the one before.
//
// Why not zstd: two bits per element and escapes, both compressed by zstd, took 3.1 % of float32
// weights where this takes 1.8 %, and were slower (level 1; level 19: 2.7 %).
#include "format/codec/symbol_coder.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <numeric>
#include <vector>

#include "wshare/error.h"

namespace wshare {
namespace {

constexpr unsigned kShareBits = 12;
constexpr uint32_t kShares = uint32_t{1} << kShareBits;
constexpr unsigned kWordBits = 16;
constexpr uint32_t kLow = uint32_t{1} << kWordBits;  // of a number at rest
constexpr size_t kNumbers = 4;

// The shares of each symbol; they sum up to kShares, or to 0 if the class is not used.
using Shares = std::array<uint32_t, kSymbols>;

[[noreturn]] void fail(const char* what) {
  throw Error(ErrorCode::kInvalid, std::string("residual: ") + what);
}

using Counts = std::array<std::array<uint32_t, kSymbols>, kSymbolClasses>;

// Neighbours are counted apart, since most are the same symbol, and adding twice to one place
// waits.
Counts count_symbols(std::span<const uint8_t> classes, std::span<const uint8_t> symbols) {
  std::array<Counts, kNumbers> counts{};
  size_t next = 0;
  for (; next + kNumbers <= symbols.size(); next += kNumbers) {
#pragma GCC unroll 4
    for (size_t n = 0; n < kNumbers; ++n) ++counts[n][classes[next + n]][symbols[next + n]];
  }
  for (; next < symbols.size(); ++next) ++counts[0][classes[next]][symbols[next]];
  for (size_t n = 1; n < kNumbers; ++n) {
    for (size_t i = 0; i < kSymbolClasses; ++i) {
      for (size_t symbol = 0; symbol < kSymbols; ++symbol)
        counts[0][i][symbol] += counts[n][i][symbol];
    }
  }
  return counts[0];
}

// Gives each symbol that occurs at least one share.
Shares shares_of(const std::array<uint32_t, kSymbols>& counts) {
  Shares shares{};
  const uint64_t total = std::accumulate(counts.begin(), counts.end(), uint64_t{0});
  if (total == 0) return shares;
  uint32_t given = 0;
  for (size_t symbol = 0; symbol < kSymbols; ++symbol) {
    if (counts[symbol] == 0) continue;
    shares[symbol] =
        std::max<uint32_t>(1, static_cast<uint32_t>(counts[symbol] * uint64_t{kShares} / total));
    given += shares[symbol];
  }
  while (given > kShares) {
    --*std::max_element(shares.begin(), shares.end());
    --given;
  }
  *std::max_element(shares.begin(), shares.end()) += kShares - given;
  return shares;
}

template <typename T>
T take(std::span<const std::byte>& bytes) {
  if (bytes.size() < sizeof(T)) fail("ends early");
  T value;
  std::memcpy(&value, bytes.data(), sizeof(T));
  bytes = bytes.subspan(sizeof(T));
  return value;
}

// A share is one byte below 128, else two: the high bits with 128 added, the low 8 bits.
void append_shares(const Shares& shares, std::string& out) {
  size_t count = kSymbols;
  while (count > 0 && shares[count - 1] == 0) --count;
  out += static_cast<char>(count);
  for (size_t symbol = 0; symbol < count; ++symbol) {
    if (shares[symbol] >= 128) out += static_cast<char>(128 + (shares[symbol] >> 8));
    out += static_cast<char>(shares[symbol]);
  }
}

Shares take_shares(std::span<const std::byte>& bytes, size_t limit) {
  Shares shares{};
  const size_t count = take<uint8_t>(bytes);
  if (count == 0) return shares;
  if (count > limit) fail("has a symbol that is too large");
  uint32_t left = kShares;
  for (size_t symbol = 0; symbol < count; ++symbol) {
    uint32_t share = take<uint8_t>(bytes);
    if (share >= 128) share = (share - 128) << 8 | take<uint8_t>(bytes);
    if (share > left) fail("the shares of its symbols are too many");
    shares[symbol] = share;
    left -= share;
  }
  if (left > 0) fail("the shares of its symbols are too few");
  return shares;
}

struct Range {
  uint32_t first = 0, count = 0;  // of shares
};

using Ranges = std::array<Range, kSymbols>;

Ranges ranges_of(const Shares& shares) {
  Ranges ranges;
  uint32_t first = 0;
  for (size_t symbol = 0; symbol < kSymbols; ++symbol) {
    ranges[symbol] = {first, shares[symbol]};
    first += shares[symbol];
  }
  return ranges;
}

// What adding a symbol does to a number x < 2^32, without a division: x / f is the upper half of
// x * ceil(2^64 / f), which is exact for f > 1. For f = 1, where 2^64 does not fit, one less is
// taken, x / f comes out as x - 1, and `offset` makes up for it.
// Source: Granlund, Montgomery 1994, "Division by invariant integers using multiplication".
struct Step {
  uint64_t reciprocal = 0;
  uint64_t limit = 0;   // a number as large gives a word first
  uint32_t others = 0;  // kShares - f: x / f * kShares + x % f = x + x / f * others
  uint32_t offset = 0;
};

Step step_of(const Range& range) {
  if (range.count == 0) return {};
  Step step;
  step.reciprocal = range.count == 1 ? UINT64_MAX : UINT64_MAX / range.count + 1;
  step.limit = uint64_t{range.count} << (32 - kShareBits);
  step.others = kShares - range.count;
  step.offset = range.first + (range.count == 1 ? step.others : 0);
  return step;
}

inline void add(const Step& step, uint32_t& number, uint16_t*& first_word) {
  uint32_t x = number;
  if (x >= step.limit) {
    *--first_word = static_cast<uint16_t>(x);
    x >>= kWordBits;
  }
  __extension__ using Wide = unsigned __int128;
  const auto quotient = static_cast<uint32_t>(Wide{x} * step.reciprocal >> 64);
  number = x + quotient * step.others + step.offset;
}

// What is needed to take back the symbols of one class.
struct Table {
  Ranges ranges;
  std::array<uint8_t, kShares> symbols;  // by share
  uint32_t zeros = 0;                    // shares of symbol 0, which come first
  bool used = false;
};

class Decoder {
 public:
  Decoder(std::span<const std::byte> bytes, size_t limit)
      : tables_(std::make_unique<std::array<Table, kSymbolClasses>>()) {
    for (Table& table : *tables_) {
      const Shares shares = take_shares(bytes, limit);
      table.ranges = ranges_of(shares);
      table.zeros = shares[0];
      size_t at = 0;
      for (size_t symbol = 0; symbol < kSymbols; ++symbol) {
        std::fill_n(table.symbols.begin() + at, shares[symbol], static_cast<uint8_t>(symbol));
        at += shares[symbol];
      }
      table.used = at > 0;
    }
    for (uint32_t& number : numbers_) {
      number = take<uint32_t>(bytes);
      if (number < kLow) fail("is damaged");
    }
    words_ = bytes;
  }

  void decode(std::span<const uint8_t> classes, std::span<uint8_t> symbols) {
    std::array<uint32_t, kNumbers> numbers = numbers_;  // in registers
    size_t i = 0;
    for (; i + kNumbers <= classes.size(); i += kNumbers) {
      for (size_t n = 0; n < kNumbers; ++n)
        symbols[i + n] = take_symbol(classes[i + n], numbers[n]);
    }
    for (size_t n = 0; i < classes.size(); ++i, ++n)
      symbols[i] = take_symbol(classes[i], numbers[n]);
    // Where the encoder began.
    for (const uint32_t number : numbers) {
      if (number != kLow) fail("is damaged");
    }
    if (!words_.empty()) fail("has bytes that are not used");
  }

 private:
  uint8_t take_symbol(uint8_t symbol_class, uint32_t& number) {
    const Table& table = (*tables_)[symbol_class];
    const uint32_t share = number & (kShares - 1);
    uint8_t symbol = 0;
    if (share < table.zeros) {  // nearly always, and saves the look-ups
      number = table.zeros * (number >> kShareBits) + share;
    } else {
      if (!table.used) fail("has no shares for a class");
      symbol = table.symbols[share];
      const Range& range = table.ranges[symbol];
      number = range.count * (number >> kShareBits) + share - range.first;
    }
    if (number < kLow) number = number << kWordBits | take<uint16_t>(words_);
    return symbol;
  }

  std::unique_ptr<std::array<Table, kSymbolClasses>> tables_;
  std::array<uint32_t, kNumbers> numbers_{};
  std::span<const std::byte> words_;
};

}  // namespace

void encode_symbols(std::span<const uint8_t> classes, std::span<const uint8_t> symbols,
                    std::string& out) {
  const Counts counts = count_symbols(classes, symbols);
  std::array<std::array<Step, kSymbols>, kSymbolClasses> steps;
  for (size_t i = 0; i < kSymbolClasses; ++i) {
    const Shares shares = shares_of(counts[i]);
    append_shares(shares, out);
    const Ranges ranges = ranges_of(shares);
    std::transform(ranges.begin(), ranges.end(), steps[i].begin(), step_of);
  }
  std::vector<uint16_t> words(symbols.size());  // filled from the end; a symbol gives one at most
  uint16_t* first_word = words.data() + words.size();
  std::array<uint32_t, kNumbers> numbers;
  numbers.fill(kLow);
  size_t i = symbols.size();
  for (; i % kNumbers != 0; --i)
    add(steps[classes[i - 1]][symbols[i - 1]], numbers[(i - 1) % kNumbers], first_word);
  for (; i > 0; i -= kNumbers) {
#pragma GCC unroll 4  // keeps the numbers in registers: each step waits for its last one
    for (size_t n = kNumbers; n-- > 0;) {
      const size_t at = i - kNumbers + n;
      add(steps[classes[at]][symbols[at]], numbers[n], first_word);
    }
  }
  out.append(reinterpret_cast<const char*>(numbers.data()), sizeof(numbers));
  out.append(reinterpret_cast<const char*>(first_word),
             static_cast<size_t>(words.data() + words.size() - first_word) * sizeof(uint16_t));
}

void decode_symbols(std::span<const std::byte> bytes, std::span<const uint8_t> classes,
                    size_t limit, std::span<uint8_t> symbols) {
  Decoder(bytes, limit).decode(classes, symbols);
}

}  // namespace wshare
