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
#include "format/symbol_coder.h"

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
  std::array<Counts, 2> counts{};
  size_t next = 0;
  for (; next + 2 <= symbols.size(); next += 2) {
    ++counts[0][classes[next]][symbols[next]];
    ++counts[1][classes[next + 1]][symbols[next + 1]];
  }
  if (next < symbols.size()) ++counts[0][classes[next]][symbols[next]];
  for (size_t i = 0; i < kSymbolClasses; ++i) {
    for (size_t symbol = 0; symbol < kSymbols; ++symbol)
      counts[0][i][symbol] += counts[1][i][symbol];
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
  std::array<Ranges, kSymbolClasses> ranges;
  for (size_t i = 0; i < kSymbolClasses; ++i) {
    const Shares shares = shares_of(counts[i]);
    append_shares(shares, out);
    ranges[i] = ranges_of(shares);
  }
  std::array<uint32_t, kNumbers> numbers;
  numbers.fill(kLow);
  std::vector<uint16_t> words(symbols.size());  // filled from the end; a symbol gives one at most
  size_t first_word = words.size();
  for (size_t i = symbols.size(); i-- > 0;) {
    uint32_t& number = numbers[i % kNumbers];
    const Range& range = ranges[classes[i]][symbols[i]];
    if (number >= uint64_t{range.count} << (32 - kShareBits)) {
      words[--first_word] = static_cast<uint16_t>(number);
      number >>= kWordBits;
    }
    number = (number / range.count << kShareBits) + number % range.count + range.first;
  }
  out.append(reinterpret_cast<const char*>(numbers.data()), sizeof(numbers));
  out.append(reinterpret_cast<const char*>(words.data() + first_word),
             (words.size() - first_word) * sizeof(uint16_t));
}

void decode_symbols(std::span<const std::byte> bytes, std::span<const uint8_t> classes,
                    size_t limit, std::span<uint8_t> symbols) {
  Decoder(bytes, limit).decode(classes, symbols);
}

}  // namespace wshare
