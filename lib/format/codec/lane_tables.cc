// Tables of shares, as few bytes as pay off: for a small tensor they are most of its residual.
//
// A table is written as weights, whose proportions make the shares. Weights below 8 take half a
// byte, so for few symbols it pays to be coarse: what symbols then take more is less than what the
// table takes less.
#include "format/codec/lane_tables.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include "wshare/error.h"

namespace wshare {
namespace {

constexpr uint32_t kMostWeight = 4095;  // four nibbles of 3 bits
constexpr unsigned kNibbleBits = 3;
constexpr uint32_t kMore = 8;
constexpr uint64_t kTableCost = 8 * kCostOfBit;  // of a byte

[[noreturn]] void fail(const char* what) {
  throw Error(ErrorCode::kInvalid, std::string("residual: ") + what);
}

class NibbleWriter {
 public:
  void add(uint32_t weight) {
    for (; weight >= kMore; weight >>= kNibbleBits) append(weight % kMore | kMore);
    append(weight);
  }
  std::string take() { return std::move(bytes_); }

 private:
  void append(uint32_t nibble) {
    if (half_)
      bytes_.back() = static_cast<char>(bytes_.back() | static_cast<char>(nibble << 4));
    else
      bytes_ += static_cast<char>(nibble);
    half_ = !half_;
  }

  std::string bytes_;
  bool half_ = false;
};

class NibbleReader {
 public:
  explicit NibbleReader(std::span<const std::byte>& bytes) : bytes_(bytes) {}

  uint32_t take() {
    uint32_t weight = 0;
    for (unsigned shift = 0; shift < 4 * kNibbleBits; shift += kNibbleBits) {
      const uint32_t nibble = take_nibble();
      weight |= nibble % kMore << shift;
      if (nibble < kMore) return weight;
    }
    fail("a weight of its symbols is too large");
  }
  bool is_padded() const { return waiting_ == 0; }

 private:
  uint32_t take_nibble() {
    if (half_) {
      half_ = false;
      return std::exchange(waiting_, 0);
    }
    if (bytes_.empty()) fail("ends early");
    const auto byte = std::to_integer<uint32_t>(bytes_.front());
    bytes_ = bytes_.subspan(1);
    half_ = true;
    waiting_ = byte >> 4;
    return byte & 15;
  }

  std::span<const std::byte>& bytes_;
  uint32_t waiting_ = 0;
  bool half_ = false;
};

struct Used {
  size_t first, last;
};

Used used_symbols(const SymbolCounts& weights) {
  const auto is_used = [](uint32_t weight) { return weight != 0; };
  const auto first = std::find_if(weights.begin(), weights.end(), is_used);
  const auto last = std::find_if(weights.rbegin(), weights.rend(), is_used);
  return {static_cast<size_t>(first - weights.begin()),
          static_cast<size_t>(weights.rend() - last) - 1};
}

// What a symbol with so many shares takes, in parts of a bit: integers, so that every machine
// chooses the same table.
uint64_t cost_of(uint32_t shares) {
  static const std::vector<uint16_t> costs = [] {
    std::vector<uint16_t> made(kShares + 1);
    for (uint32_t i = 1; i <= kShares; ++i)
      made[i] = static_cast<uint16_t>(std::lround(kCostOfBit * (kShareBits - std::log2(i))));
    return made;
  }();
  return costs[shares];
}

LaneTable table_of(const SymbolCounts& weights, const SymbolCounts& counts) {
  LaneTable table;
  table.shares = shares_of(weights);
  const auto [first, last] = used_symbols(weights);
  NibbleWriter nibbles;
  for (size_t symbol = first; symbol <= last; ++symbol) {
    nibbles.add(weights[symbol]);
    table.cost += counts[symbol] * cost_of(table.shares[symbol]);
  }
  table.code = {static_cast<char>(first), static_cast<char>(last - first)};
  table.code += nibbles.take();
  table.cost += kTableCost * table.code.size();
  return table;
}

// Scaled so that the largest is `most`; none becomes 0.
SymbolCounts weights_up_to(uint32_t most, const SymbolCounts& counts) {
  const uint64_t largest = *std::max_element(counts.begin(), counts.end());
  if (largest <= most) return counts;
  SymbolCounts weights{};
  for (size_t symbol = 0; symbol < kLaneSymbols; ++symbol) {
    if (counts[symbol] == 0) continue;
    const uint64_t scaled = (counts[symbol] * uint64_t{most} + largest / 2) / largest;
    weights[symbol] = std::max<uint32_t>(1, static_cast<uint32_t>(scaled));
  }
  return weights;
}

}  // namespace

Shares shares_of(const SymbolCounts& weights) {
  Shares shares{};
  const uint64_t total = std::accumulate(weights.begin(), weights.end(), uint64_t{0});
  if (total == 0) return shares;
  uint32_t given = 0;
  for (size_t symbol = 0; symbol < kLaneSymbols; ++symbol) {
    if (weights[symbol] == 0) continue;
    shares[symbol] =
        std::max<uint32_t>(1, static_cast<uint32_t>(weights[symbol] * uint64_t{kShares} / total));
    given += shares[symbol];
  }
  for (; given > kShares; --given) --*std::max_element(shares.begin(), shares.end());
  *std::max_element(shares.begin(), shares.end()) += kShares - given;
  return shares;
}

ShareRanges ranges_of(const Shares& shares) {
  ShareRanges ranges;
  uint32_t first = 0;
  for (size_t symbol = 0; symbol < kLaneSymbols; ++symbol) {
    ranges[symbol] = {first, shares[symbol]};
    first += shares[symbol];
  }
  return ranges;
}

LaneTable make_lane_table(const SymbolCounts& counts) {
  SymbolCounts exact = shares_of(counts);
  exact = weights_up_to(kMostWeight, exact);
  LaneTable best = table_of(exact, counts);
  for (const uint32_t most : {uint32_t{63}, uint32_t{7}}) {
    LaneTable coarse = table_of(weights_up_to(most, counts), counts);
    if (coarse.cost < best.cost) best = std::move(coarse);
  }
  return best;
}

Shares take_lane_table(std::span<const std::byte>& bytes, size_t largest) {
  if (bytes.size() < 2) fail("ends early");
  const size_t first = std::to_integer<size_t>(bytes[0]);
  const size_t more = std::to_integer<size_t>(bytes[1]);
  if (first > largest || more > largest - first) fail("has a symbol that is too large");
  bytes = bytes.subspan(2);
  SymbolCounts weights{};
  NibbleReader nibbles(bytes);
  for (size_t symbol = first; symbol <= first + more; ++symbol) weights[symbol] = nibbles.take();
  const Shares shares = shares_of(weights);
  if (!nibbles.is_padded() || weights[first] == 0 || weights[first + more] == 0)
    fail("has a table that nobody writes");
  return shares;
}

void fill_entries(const Shares& shares, uint32_t* entries) {
  for (uint32_t symbol = 0; symbol < kLaneSymbols; ++symbol) {
    for (uint32_t at = 0; at < shares[symbol]; ++at)
      *entries++ = entry_of(symbol, shares[symbol], at);
  }
}

}  // namespace wshare
