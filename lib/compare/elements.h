#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "compare/low_rank/matrix.h"

namespace wshare {

// Sums over many elements, in the order that vector units can add in. The order is fixed, so the
// results do not depend on the machine's vectors.

// What something leaves of a matrix.
struct Rest {
  double square = 0;  // Frobenius
  double max_abs = 0;
};

// Adds `count` values to `rest`.
void add_to(Rest& rest, const double* values, size_t count);

// Writes elements [at, at + count) of b - a, which both store in one order, to `out`.
void subtract_elements(const MatrixView& a, const MatrixView& b, uint64_t at, uint64_t count,
                       double* out);

// Returns the sum of squares.
double square_of(const double* values, size_t count);

// Mean squares of roundings, as RoundingNoise::square_at() gives them.
class NoiseAt {
 public:
  explicit NoiseAt(const RoundingNoise& noise)
      : of_one_(noise.square_at(1)), smallest_(noise.square_at(0)) {}

  double square_at(double value) const {
    constexpr uint64_t kExponent = uint64_t{0x7ff} << 52;
    const double power = std::bit_cast<double>(std::bit_cast<uint64_t>(value) & kExponent);
    const double square = power * power * of_one_;
    return square > smallest_ ? square : smallest_;
  }

 private:
  double of_one_, smallest_;
};

// What roundings add to a row of b - a.
struct RowNoise {
  double of_a = 0, of_b = 0;  // sums of mean squares
};

// Sums up the roundings of the `count` elements base[i] of a and base[i] + delta[i] of b, and adds
// those of each column to `in_cols`.
RowNoise add_noise(const double* base, const double* delta, size_t count, const NoiseAt& at_a,
                   const NoiseAt& at_b, double* in_cols);

}  // namespace wshare
