#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "format/matrix.h"

namespace wshare::test {

inline constexpr int32_t kFloatTypes[] = {kFloat32, kFloat16, kBfloat16, kFloat64};

// Rounds with the C library's idea of spacing and ties: another way than that of write_values().
inline double rounded(double value, int32_t dtype) {
  const FloatFormat format = *float_format(dtype);
  if (dtype == kFloat64 || value == 0 || !std::isfinite(value)) return value;
  const int smallest = static_cast<int>(format.smallest_exponent);
  const int exponent = std::max(std::ilogb(value), smallest);
  const double step = std::ldexp(1.0, exponent - format.significand_bits);
  const double result = std::nearbyint(value / step) * step;
  const double beyond = std::ldexp(1.0, 2 - smallest);
  return std::abs(result) >= beyond ? std::copysign(INFINITY, value) : result;
}

// The bytes of `values` in a float type.
inline std::string bytes_as(const std::vector<double>& values, int32_t dtype) {
  std::string bytes(values.size() * float_format(dtype)->size, '\0');
  write_values(values, dtype, reinterpret_cast<std::byte*>(bytes.data()));
  return bytes;
}

inline std::vector<double> values_of(const std::string& bytes, int32_t dtype) {
  std::vector<double> values(bytes.size() / float_format(dtype)->size);
  read_values(std::as_bytes(std::span(bytes)), dtype, values.data());
  return values;
}

// A matrix with bytes of its own.
struct HeldMatrix {
  std::string bytes;
  int32_t dtype = kFloat32;
  uint64_t rows = 0, cols = 0;  // as stored

  MatrixView view() const { return {std::as_bytes(std::span(bytes)), dtype, rows, cols, false}; }
};

// Values of both signs around `size` that depend on `seed`.
inline HeldMatrix random_matrix(uint64_t rows, uint64_t cols, int32_t dtype, uint32_t seed,
                                double size = 1) {
  std::mt19937 random(seed);
  std::vector<double> values(static_cast<size_t>(rows * cols));
  for (double& value : values) value = size * (static_cast<double>(random()) / 0x1p31 - 1);
  return {bytes_as(values, dtype), dtype, rows, cols};
}

}  // namespace wshare::test
