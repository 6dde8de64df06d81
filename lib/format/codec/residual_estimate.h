#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "format/codec/prediction.h"

namespace wshare {

// What the moves between elements at the same places of two tensors would take in a residual.
//
// Adding runs that are spread over a tensor says how large its residual is: within 2 points of the
// tensor's size for 64 runs of 256 elements or more, not counting tables (some hundred bytes a
// block). Small tensors are better encoded.
class ResidualSample {
 public:
  explicit ResidualSample(int32_t dtype);

  // Adds elements that lie after each other; as a row, they take nothing if all are equal.
  void add(std::span<const std::byte> predicted, std::span<const std::byte> actual);

  double bits_per_element() const;

 private:
  template <typename Bits>
  void add_moves(std::span<const std::byte> predicted, std::span<const std::byte> actual);

  int32_t dtype_;
  uint64_t elements_ = 0, raw_bits_ = 0;
  uint64_t top_ = 0;                               // exponent; of the first run
  std::vector<std::array<uint64_t, 256>> counts_;  // of symbols, by class
};

// How many elements of a tensor are looked at, or all if it has not more; of large ones, one in 64.
inline constexpr uint64_t kSampledElements = 65536;
// Enough to compare whole models by.
inline constexpr uint64_t kFewElements = 8192;

// Returns about how many bytes the residual of `prediction` would take, exactly for tensors of at
// most `elements`.
//
// Throws Error(kInvalid) as encode_residual().
uint64_t estimate_residual(const Prediction& prediction, std::span<const std::byte> actual,
                           uint64_t elements = kSampledElements);

struct FittedMultiplier {
  double multiplier = 1;
  uint64_t residual = 0;  // as estimate_residual() with it
};

// Returns by how much the base of `prediction` is to be multiplied for a small residual: 1, or the
// median of the quotients of some elements where that saves 2 % of it. (Weight decay multiplies all
// that training does not move.)
//
// Throws Error(kInvalid) as encode_residual().
FittedMultiplier fit_multiplier(const Prediction& prediction, std::span<const std::byte> actual);

}  // namespace wshare
