#include "format/matrix.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "format/codec/vector_clones.h"
#include "format/float_elements.h"
#include "util/load.h"

namespace wshare {
namespace {

// Calls `use` with an element of the type that stores `dtype`.
template <typename Use>
auto with_type(int32_t dtype, const Use& use) {
  switch (dtype) {
    case kFloat16:
      return use(Half{});
    case kBfloat16:
      return use(Brain{});
    case kFloat64:
      return use(Double{});
    default:
      return use(Single{});
  }
}

constexpr size_t kBlock = 32;

// Writes `count` stored elements to `out`. Blocks of a fixed size become vector instructions.
template <typename T>
inline __attribute__((always_inline)) void convert_all(const std::byte* from, uint64_t count,
                                                       double* out) {
  T block[kBlock];
  uint64_t i = 0;
  for (; i + kBlock <= count; i += kBlock) {
    std::memcpy(block, from + i * sizeof(T), sizeof(block));
    for (size_t k = 0; k < kBlock; ++k) out[i + k] = block[k].value();
  }
  for (; i < count; ++i) out[i] = load<T>(from + i * sizeof(T)).value();
}

template <typename T>
void convert(const std::byte* from, uint64_t count, double* out) {
  convert_all<T>(from, count, out);
}
template <>
WSHARE_VECTOR_CLONES void convert<Single>(const std::byte* from, uint64_t count, double* out) {
  convert_all<Single>(from, count, out);
}
template <>
WSHARE_VECTOR_CLONES void convert<Half>(const std::byte* from, uint64_t count, double* out) {
  convert_all<Half>(from, count, out);
}

// Reads `block` of a view whose stored rows are its columns, in tiles, so that what is written
// together lies in the cache.
template <typename T>
void read_transposed(const MatrixView& view, const Block& block, size_t stride, double* out) {
  double tile[kBlock * kBlock];
  for (uint64_t col0 = 0; col0 < block.cols; col0 += kBlock) {
    const uint64_t cols = std::min<uint64_t>(kBlock, block.cols - col0);
    for (uint64_t row0 = 0; row0 < block.rows; row0 += kBlock) {
      const uint64_t rows = std::min<uint64_t>(kBlock, block.rows - row0);
      for (uint64_t col = 0; col < cols; ++col) {
        const uint64_t at = (block.col + col0 + col) * view.rows + block.row + row0;
        convert<T>(view.bytes.data() + at * sizeof(T), rows, tile + col * kBlock);
      }
      for (uint64_t row = 0; row < rows; ++row) {
        double* to = out + (row0 + row) * stride + col0;
        for (uint64_t col = 0; col < cols; ++col) to[col] = tile[col * kBlock + row];
      }
    }
  }
}

// Rounds to a float of kBits stored bits of significand and kExponentBits of exponent.
//
// Adding half a step less one to the bits of a double, and the last bit that stays, carries into
// that bit exactly when round-to-nearest-even goes up, and into the exponent where it must. Below
// the normal values the addition of a number whose own step is the target's does the same.
template <int kBits, int kExponentBits>
uint16_t narrow(double value) {
  constexpr int kShift = 52 - kBits;
  constexpr int kBias = (1 << (kExponentBits - 1)) - 1;
  constexpr uint64_t kInfinity = ((uint64_t{1} << kExponentBits) - 1) << kBits;
  constexpr uint64_t kQuietNan = kInfinity | uint64_t{1} << (kBits - 1);
  constexpr uint64_t kDoubleInfinity = uint64_t{0x7ff} << 52;
  constexpr uint64_t kSmallestNormal = uint64_t{1023 + 1 - kBias} << 52;
  constexpr uint64_t kOverflow = uint64_t{1023 + 1 + kBias} << 52;
  constexpr uint64_t kSameStep = uint64_t{1023 + 52 + 1 - kBias - kBits} << 52;

  const auto bits = std::bit_cast<uint64_t>(value);
  const uint64_t magnitude = bits & ~(uint64_t{1} << 63);
  const uint64_t sign = bits >> 63 << (kBits + kExponentBits);
  const uint64_t rounded =
      magnitude + ((uint64_t{1} << (kShift - 1)) - 1) + (magnitude >> kShift & 1);
  const uint64_t normal = (rounded >> kShift) - (uint64_t{1023 - kBias} << kBits);
  const uint64_t subnormal =
      std::bit_cast<uint64_t>(std::bit_cast<double>(magnitude) + std::bit_cast<double>(kSameStep)) -
      kSameStep;
  uint64_t result = magnitude < kSmallestNormal ? subnormal : normal;
  result = rounded >= kOverflow ? kInfinity : result;
  result |= sign;
  return static_cast<uint16_t>(magnitude > kDoubleInfinity ? kQuietNan : result);
}

uint16_t to_half(double value) { return narrow<10, 5>(value); }
uint16_t to_brain(double value) { return narrow<7, 8>(value); }
// IEC 60559 defines the conversion of what float cannot hold, other than C++.
float to_single(double value) {
  return std::isnan(value) ? std::numeric_limits<float>::quiet_NaN() : static_cast<float>(value);
}
double to_double(double value) {
  return std::isnan(value) ? std::numeric_limits<double>::quiet_NaN() : value;
}

template <typename T, T (*round)(double)>
inline __attribute__((always_inline)) void write_all(const double* values, size_t count,
                                                     std::byte* out) {
  T block[kBlock];
  size_t i = 0;
  for (; i + kBlock <= count; i += kBlock) {
    for (size_t k = 0; k < kBlock; ++k) block[k] = round(values[i + k]);
    std::memcpy(out + i * sizeof(T), block, sizeof(block));
  }
  for (; i < count; ++i) {
    const T rounded = round(values[i]);
    std::memcpy(out + i * sizeof(T), &rounded, sizeof(T));
  }
}

WSHARE_VECTOR_CLONES void write_halfs(const double* values, size_t count, std::byte* out) {
  write_all<uint16_t, to_half>(values, count, out);
}
WSHARE_VECTOR_CLONES void write_brains(const double* values, size_t count, std::byte* out) {
  write_all<uint16_t, to_brain>(values, count, out);
}
WSHARE_VECTOR_CLONES void write_singles(const double* values, size_t count, std::byte* out) {
  write_all<float, to_single>(values, count, out);
}

}  // namespace

std::optional<FloatFormat> float_format(int32_t dtype) {
  switch (dtype) {
    case kFloat32:
      return FloatFormat{4, 23, -126};
    case kFloat16:
      return FloatFormat{2, 10, -14};
    case kBfloat16:
      return FloatFormat{2, 7, -126};
    case kFloat64:
      return FloatFormat{8, 52, -1022};
    default:
      return std::nullopt;
  }
}

MatrixView transpose_of(MatrixView view) {
  std::swap(view.rows, view.cols);
  view.transposed = !view.transposed;
  return view;
}

void read_rows(const MatrixView& view, uint64_t first, uint64_t count, double* out) {
  read_block(view, Block{first, count, 0, view.cols}, view.cols, out);
}

void read_block(const MatrixView& view, const Block& block, size_t stride, double* out) {
  with_type(view.dtype, [&]<typename T>(T) {
    if (view.transposed) {
      read_transposed<T>(view, block, stride, out);
      return;
    }
    const std::byte* from = view.bytes.data() + (block.row * view.cols + block.col) * sizeof(T);
    if (block.cols == view.cols && stride == view.cols) {
      convert<T>(from, block.rows * block.cols, out);
      return;
    }
    for (uint64_t row = 0; row < block.rows; ++row) {
      convert<T>(from + row * view.cols * sizeof(T), block.cols, out + row * stride);
    }
  });
}

void read_values(std::span<const std::byte> bytes, int32_t dtype, double* out) {
  with_type(dtype, [&]<typename T>(T) { convert<T>(bytes.data(), bytes.size() / sizeof(T), out); });
}

void write_values(std::span<const double> values, int32_t dtype, std::byte* out) {
  switch (dtype) {
    case kFloat16:
      return write_halfs(values.data(), values.size(), out);
    case kBfloat16:
      return write_brains(values.data(), values.size(), out);
    case kFloat64:
      return write_all<double, to_double>(values.data(), values.size(), out);
    default:
      return write_singles(values.data(), values.size(), out);
  }
}

}  // namespace wshare
