#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "support/models.h"

namespace wshare::test {

// A matrix of doubles, from which tensors of any float type are made.
struct Matrix {
  int64_t rows = 0, cols = 0;
  std::vector<double> values;  // row by row

  double& at(int64_t row, int64_t col) { return values[static_cast<size_t>(row * cols + col)]; }
  double at(int64_t row, int64_t col) const {
    return values[static_cast<size_t>(row * cols + col)];
  }
};

// Nearly normal values of mean 0 and the given deviation that depend on `seed`.
inline Matrix random_matrix(int64_t rows, int64_t cols, uint64_t seed, double deviation = 0.05) {
  Matrix matrix{rows, cols, {}};
  uint64_t state = seed * 2654435761 + 12345;
  const auto uniform = [&] {
    state = state * 6364136223846793005 + 1442695040888963407;
    return static_cast<double>(state >> 33) / 0x1p31;
  };
  for (int64_t i = 0; i < rows * cols; ++i) {
    double sum = -6;
    for (int term = 0; term < 12; ++term) sum += uniform();
    matrix.values.push_back(sum * deviation);
  }
  return matrix;
}

// left [m, k] x right [k, n]
inline Matrix product(const Matrix& left, const Matrix& right) {
  Matrix result{left.rows, right.cols, {}};
  result.values.resize(static_cast<size_t>(left.rows * right.cols));
  for (int64_t i = 0; i < left.rows; ++i) {
    for (int64_t k = 0; k < left.cols; ++k) {
      for (int64_t j = 0; j < right.cols; ++j) result.at(i, j) += left.at(i, k) * right.at(k, j);
    }
  }
  return result;
}

inline Matrix sum(Matrix a, const Matrix& b) {
  for (size_t i = 0; i < a.values.size(); ++i) a.values[i] += b.values[i];
  return a;
}

inline Matrix transposed(const Matrix& matrix) {
  Matrix result{matrix.cols, matrix.rows, {}};
  for (int64_t col = 0; col < matrix.cols; ++col) {
    for (int64_t row = 0; row < matrix.rows; ++row) result.values.push_back(matrix.at(row, col));
  }
  return result;
}

// A matrix of rank `rank` whose entries have about the given deviation.
inline Matrix low_rank(int64_t rows, int64_t cols, int64_t rank, uint64_t seed,
                       double deviation = 0.002) {
  const double each = std::sqrt(deviation / std::sqrt(static_cast<double>(rank)));
  return product(random_matrix(rows, rank, seed, each), random_matrix(rank, cols, seed + 1, each));
}

// The bits of `value` in IEEE half precision, as a cast of the float32 gives them.
inline uint16_t to_half(double exact) {
  const double value = static_cast<double>(static_cast<float>(exact));
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  const double size = std::abs(value);
  if (std::isnan(value)) return 0x7e00;
  if (size == 0) return sign;
  if (size >= 65520) return static_cast<uint16_t>(sign | 0x7c00);
  const int exponent = std::max(std::ilogb(size), -14);
  const double steps = std::nearbyint(std::ldexp(size, 10 - exponent));
  // A carry out of the significand runs into the exponent, as it must.
  const auto bits = static_cast<uint32_t>(steps) + (static_cast<uint32_t>(exponent + 14) << 10);
  return static_cast<uint16_t>(sign | bits);
}

// The upper half of float32, rounded to nearest even.
inline uint16_t to_brain(double value) {
  const auto single = static_cast<float>(value);
  uint32_t bits;
  std::memcpy(&bits, &single, 4);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

template <typename T, typename Convert>
std::string packed(const std::vector<double>& values, const Convert& convert) {
  std::string bytes;
  for (const double value : values) {
    const T element = convert(value);
    bytes.append(reinterpret_cast<const char*>(&element), sizeof(T));
  }
  return bytes;
}

inline std::string float_bytes(const std::vector<double>& values, int type) {
  if (type == Proto::FLOAT16) return packed<uint16_t>(values, to_half);
  if (type == Proto::BFLOAT16) return packed<uint16_t>(values, to_brain);
  if (type == Proto::DOUBLE) return packed<double>(values, [](double v) { return v; });
  return packed<float>(values, [](double v) { return static_cast<float>(v); });
}

inline onnx::TensorProto tensor(const std::string& name, const Matrix& matrix,
                                int type = Proto::FLOAT) {
  return raw(name, float_bytes(matrix.values, type), type, {matrix.rows, matrix.cols});
}

}  // namespace wshare::test
