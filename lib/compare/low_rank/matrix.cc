#include "compare/low_rank/matrix.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "format/dtype.h"
#include "util/load.h"

namespace wshare {
namespace {

double spacing_at_zero(int32_t dtype) {
  const FloatFormat format = *float_format(dtype);
  return std::ldexp(1.0, static_cast<int>(format.smallest_exponent) - format.significand_bits);
}

// True if a converter that clamps may have made `to` of `from`; `smallest` is the narrower type's.
bool is_clamped(double from, double to, double smallest) {
  const bool tiny = std::abs(from) < 2 * smallest && std::abs(to) <= 2 * smallest;
  const bool huge = std::abs(from) > 1e4 && std::abs(to) >= 1e4 && std::isfinite(to);
  return (tiny || huge) && (from > 0) == (to > 0);
}

}  // namespace

bool holds_floats(const TensorRef& tensor) {
  if (!float_format(tensor.dtype)) return false;
  return byte_size(*find_dtype(tensor.dtype), tensor.shape) == tensor.bytes.size();
}

std::optional<MatrixView> matrix_of(const TensorRef& tensor) {
  if (!holds_floats(tensor) || tensor.shape.size() < 2 || tensor.bytes.empty()) {
    return std::nullopt;
  }
  const auto rows = static_cast<uint64_t>(tensor.shape[0]);
  const uint64_t elements = tensor.bytes.size() / float_format(tensor.dtype)->size;
  return MatrixView{tensor.bytes, tensor.dtype, rows, elements / rows, false};
}

double element_at(const TensorRef& tensor, uint64_t index) {
  const size_t size = float_format(tensor.dtype)->size;
  double value = 0;
  read_values(tensor.bytes.subspan(static_cast<size_t>(index) * size, size), tensor.dtype, &value);
  return value;
}

int used_significand_bits(const MatrixView& view) {
  const int stored = float_format(view.dtype)->significand_bits;
  if (view.dtype != kFloat32) return stored;
  uint32_t used = 0;
  for (size_t at = 0; at < view.bytes.size(); at += sizeof(uint32_t)) {
    const auto bits = load<uint32_t>(view.bytes.data() + at);
    used |= (bits & 0x7f800000) == 0x7f800000 ? 0 : bits & 0x7fffff;
  }
  return used == 0 ? 0 : stored - std::countr_zero(used);
}

RoundingNoise::RoundingNoise(int bits, int32_t dtype)
    : bits_(bits), smallest_exponent_(float_format(dtype)->smallest_exponent) {}

double RoundingNoise::square_at(double value) const {
  constexpr int64_t kBias = 1023;
  const int64_t field = static_cast<int64_t>(std::bit_cast<uint64_t>(value) >> 52 & 0x7ff);
  const int64_t exponent = std::max(field - kBias, smallest_exponent_) - bits_;
  if (exponent < -500) return 0;  // its square is no normal double
  return std::bit_cast<double>(static_cast<uint64_t>(2 * exponent + kBias) << 52) / 12;
}

bool equal_transposed(const TensorRef& a, const TensorRef& b) {
  if (a.dtype != b.dtype || a.shape.size() != 2 || b.shape.size() != 2 ||
      a.shape[0] != b.shape[1] || a.shape[1] != b.shape[0] || a.bytes.size() != b.bytes.size()) {
    return false;
  }
  const std::optional<Dtype> dtype = find_dtype(a.dtype);
  if (!dtype || dtype->bits < 8 || dtype->bits % 8 != 0) return false;
  if (byte_size(*dtype, a.shape) != a.bytes.size()) return false;
  const auto size = static_cast<size_t>(dtype->bits / 8);
  const auto rows = static_cast<size_t>(a.shape[0]);
  const auto cols = static_cast<size_t>(a.shape[1]);
  constexpr size_t kTile = 64;  // rows and columns that stay in the cache
  for (size_t row0 = 0; row0 < rows; row0 += kTile) {
    for (size_t col0 = 0; col0 < cols; col0 += kTile) {
      for (size_t row = row0; row < std::min(rows, row0 + kTile); ++row) {
        for (size_t col = col0; col < std::min(cols, col0 + kTile); ++col) {
          if (std::memcmp(a.bytes.data() + (row * cols + col) * size,
                          b.bytes.data() + (col * rows + row) * size, size) != 0) {
            return false;
          }
        }
      }
    }
  }
  return true;
}

CastResult compare_cast(const TensorRef& a, const TensorRef& b) {
  const bool a_wider =
      float_format(a.dtype)->significand_bits > float_format(b.dtype)->significand_bits;
  const TensorRef& wide = a_wider ? a : b;
  const TensorRef& narrow = a_wider ? b : a;
  const size_t wide_size = float_format(wide.dtype)->size;
  const size_t narrow_size = float_format(narrow.dtype)->size;
  // float16 is narrower than bfloat16 in range and wider in precision: neither rounds to the other.
  const double smallest = spacing_at_zero(narrow.dtype);
  constexpr size_t kValues = 256;
  double from[kValues], to[kValues], rounded[kValues];
  std::byte bytes[kValues * sizeof(double)];
  bool clamped = false;
  const size_t count = wide.bytes.size() / wide_size;
  for (size_t first = 0; first < count; first += kValues) {
    const size_t values = std::min(kValues, count - first);
    read_values(wide.bytes.subspan(first * wide_size, values * wide_size), wide.dtype, from);
    read_values(narrow.bytes.subspan(first * narrow_size, values * narrow_size), narrow.dtype, to);
    write_values({from, values}, narrow.dtype, bytes);
    read_values({bytes, values * narrow_size}, narrow.dtype, rounded);
    for (size_t i = 0; i < values; ++i) {
      if (rounded[i] == to[i] || (std::isnan(from[i]) && std::isnan(to[i]))) continue;
      if (!is_clamped(from[i], to[i], smallest)) return CastResult::kDiffer;
      clamped = true;
    }
  }
  return clamped ? CastResult::kClamped : CastResult::kEqual;
}

}  // namespace wshare
