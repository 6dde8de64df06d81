#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace wshare {

// The float types that are computed with, by their code in TensorProto.DataType.
inline constexpr int32_t kFloat32 = 1;
inline constexpr int32_t kFloat16 = 10;
inline constexpr int32_t kFloat64 = 11;
inline constexpr int32_t kBfloat16 = 16;

// How a float type lays out its bits: sign, exponent, significand.
struct FloatFormat {
  size_t size;                // of an element in bytes
  int significand_bits;       // stored ones
  int64_t smallest_exponent;  // of normal values, whose field is 1
};

// Returns the layout of `dtype`, or nothing if it is none of the four types above.
std::optional<FloatFormat> float_format(int32_t dtype);

// A float tensor read as a matrix: the first dimension against all others, so that the weight of a
// convolution is [out, in x kernel]. Borrows the bytes of its tensor.
struct MatrixView {
  std::span<const std::byte> bytes;
  int32_t dtype = 0;
  uint64_t rows = 0, cols = 0;  // as seen, after the transpose
  bool transposed = false;      // stored as [cols, rows]
};

// A part of a matrix.
struct Block {
  uint64_t row = 0, rows = 0, col = 0, cols = 0;
};

MatrixView transpose_of(MatrixView view);

// Writes rows [first, first + count) of `view` to `out`, row by row; every value is exact.
//
// As for all functions below, dtype and bounds must be right; they are not checked.
void read_rows(const MatrixView& view, uint64_t first, uint64_t count, double* out);

// Writes `block` of `view` to `out`, whose rows are `stride` values apart; every value is exact.
void read_block(const MatrixView& view, const Block& block, size_t stride, double* out);

// Writes the elements in `bytes` to `out`; every value is exact.
void read_values(std::span<const std::byte> bytes, int32_t dtype, double* out);

// Rounds `values` to `dtype` and writes them to `out`: to nearest, ties to even, from double in one
// step, also to subnormal values; beyond the largest value to infinity. Every NaN becomes the quiet
// NaN with sign 0 and an otherwise empty significand, since its sign and payload after arithmetic
// depend on the machine.
//
// `out` may have any alignment and must not overlap `values`.
void write_values(std::span<const double> values, int32_t dtype, std::byte* out);

}  // namespace wshare
