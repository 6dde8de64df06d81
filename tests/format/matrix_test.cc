#include "format/matrix.h"

#include <gtest/gtest.h>

#include <bit>

#include "format/floats.h"

namespace wshare {
namespace {

using test::bytes_as;
using test::kFloatTypes;
using test::values_of;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// The bits of `value` in a 16- or 32-bit type.
uint32_t bits_of(double value, int32_t dtype) {
  const std::string bytes = bytes_as({value}, dtype);
  uint32_t bits = 0;
  std::memcpy(&bits, bytes.data(), bytes.size());
  return bits;
}

TEST(WriteValues, RoundsToNearestEven) {
  struct Case {
    const char* name;
    int32_t dtype;
    double value;
    uint32_t bits;
  };
  for (const Case& c : {
           Case{"one", kFloat16, 1, 0x3c00},
           Case{"tie down to even", kFloat16, 1 + 0x1p-11, 0x3c00},
           Case{"tie up to even", kFloat16, 1 + 3 * 0x1p-11, 0x3c02},
           Case{"above a tie by less than float shows", kFloat16, 1 + 0x1p-11 + 0x1p-40, 0x3c01},
           Case{"below a tie", kFloat16, 1 + 3 * 0x1p-11 - 0x1p-40, 0x3c01},
           Case{"into the next exponent", kFloat16, 2 - 0x1p-12, 0x4000},
           Case{"largest", kFloat16, -65504, 0xfbff},
           Case{"still the largest", kFloat16, 65519.999, 0x7bff},
           Case{"overflow", kFloat16, 65520, 0x7c00},
           Case{"negative overflow", kFloat16, -1e300, 0xfc00},
           Case{"infinity", kFloat16, -kInfinity, 0xfc00},
           Case{"smallest normal", kFloat16, 0x1p-14, 0x0400},
           Case{"subnormal up to normal", kFloat16, 0x1p-14 - 0x1p-26, 0x0400},
           Case{"largest subnormal", kFloat16, 0x1p-14 - 0x1p-24, 0x03ff},
           Case{"subnormal tie to even", kFloat16, 5 * 0x1p-25, 0x0002},
           Case{"subnormal tie to even, up", kFloat16, 7 * 0x1p-25, 0x0004},
           Case{"smallest", kFloat16, -0x1p-24, 0x8001},
           Case{"half of the smallest", kFloat16, 0x1p-25, 0x0000},
           Case{"more than half of the smallest", kFloat16, 0x1p-25 + 0x1p-60, 0x0001},
           Case{"double's smallest", kFloat16, -0x1p-1074, 0x8000},
           Case{"zero", kFloat16, 0.0, 0x0000},
           Case{"minus zero", kFloat16, -0.0, 0x8000},
           Case{"bfloat16 tie to even", kBfloat16, 1 + 0x1p-8, 0x3f80},
           Case{"bfloat16 above a tie", kBfloat16, 1 + 0x1p-8 + 0x1p-50, 0x3f81},
           Case{"bfloat16 overflow", kBfloat16, 0x1.ffp127, 0x7f80},
           Case{"bfloat16 largest", kBfloat16, 0x1.feffp127, 0x7f7f},
           Case{"bfloat16 subnormal", kBfloat16, 3 * 0x1p-133, 0x0003},
           Case{"bfloat16 subnormal tie", kBfloat16, -5 * 0x1p-134, 0x8002},
           Case{"float32 tie to even", kFloat32, 1 + 0x1p-24, 0x3f800000},
           Case{"float32 above a tie", kFloat32, 1 + 0x1p-24 + 0x1p-52, 0x3f800001},
           Case{"float32 overflow", kFloat32, 0x1.ffffffp127, 0x7f800000},
           Case{"float32 subnormal", kFloat32, -5 * 0x1p-150, 0x80000002},
           Case{"float32 smallest", kFloat32, 0x1p-149, 0x00000001},
       }) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(bits_of(c.value, c.dtype), c.bits) << std::hex << bits_of(c.value, c.dtype);
  }
}

TEST(WriteValues, MakesEveryNanTheSameQuietOne) {
  const auto signaling = std::bit_cast<double>(uint64_t{0xfff0000000000001});
  for (const double nan : {static_cast<double>(NAN), -static_cast<double>(NAN), signaling}) {
    EXPECT_EQ(bits_of(nan, kFloat32), 0x7fc00000u);
    EXPECT_EQ(bits_of(nan, kFloat16), 0x7e00u);
    EXPECT_EQ(bits_of(nan, kBfloat16), 0x7fc0u);
    EXPECT_EQ(bytes_as({nan}, kFloat64), std::string("\0\0\0\0\0\0\xf8\x7f", 8));
  }
}

TEST(WriteValues, GivesBackAllHalfsAndBfloats) {
  for (const int32_t dtype : {kFloat16, kBfloat16}) {
    std::vector<uint16_t> bits;
    for (uint32_t i = 0; i <= 0xffff; ++i) bits.push_back(static_cast<uint16_t>(i));
    const std::string bytes(reinterpret_cast<const char*>(bits.data()), bits.size() * 2);
    const std::vector<double> values = values_of(bytes, dtype);
    const std::string again = bytes_as(values, dtype);
    for (size_t i = 0; i < bits.size(); ++i) {
      if (std::isnan(values[i])) continue;
      ASSERT_EQ(again.substr(i * 2, 2), bytes.substr(i * 2, 2)) << i;
    }
  }
}

TEST(WriteValues, RoundsAsPlainArithmeticDoes) {
  std::mt19937_64 random(1);
  std::vector<double> values;
  for (int i = 0; i < 40000; ++i) {
    // All exponents around the range of each type, and significands that are often ties.
    const auto exponent = static_cast<int>(random() % 320) - 160;
    const double significand = i % 2 == 0 ? 1 + static_cast<double>(random() % 4096) / 4096
                                          : 1 + static_cast<double>(random() >> 12) / 0x1p52;
    values.push_back(std::ldexp(random() % 2 == 0 ? significand : -significand, exponent));
  }
  for (const int32_t dtype : kFloatTypes) {
    const std::vector<double> got = values_of(bytes_as(values, dtype), dtype);
    for (size_t i = 0; i < values.size(); ++i) {
      ASSERT_EQ(got[i], test::rounded(values[i], dtype)) << values[i] << " as type " << dtype;
    }
  }
}

TEST(ReadBlock, ReadsAnyPartOfBothLayouts) {
  std::vector<double> values;
  constexpr uint64_t kRows = 70, kCols = 45;  // more than one tile, no multiple of it
  for (uint64_t i = 0; i < kRows * kCols; ++i) values.push_back(static_cast<double>(i));
  for (const int32_t dtype : {kFloat32, kFloat64}) {
    const std::string bytes = bytes_as(values, dtype);
    const MatrixView plain{std::as_bytes(std::span(bytes)), dtype, kRows, kCols, false};
    const Block block{3, 40, 5, 38};
    constexpr size_t kStride = 41;
    std::vector<double> out(block.rows * kStride, -1), flipped = out;
    read_block(plain, block, kStride, out.data());
    read_block(transpose_of(plain), {block.row, block.rows, block.col, block.cols}, kStride,
               flipped.data());
    for (uint64_t row = 0; row < block.rows; ++row) {
      for (uint64_t col = 0; col < kStride; ++col) {
        const bool inside = col < block.cols;
        const uint64_t i = block.row + row, j = block.col + col;
        EXPECT_EQ(out[row * kStride + col], inside ? static_cast<double>(i * kCols + j) : -1);
        EXPECT_EQ(flipped[row * kStride + col], inside ? static_cast<double>(j * kCols + i) : -1);
      }
    }
  }
}

TEST(FloatFormat, KnowsFourTypes) {
  for (const int32_t dtype : kFloatTypes) EXPECT_TRUE(float_format(dtype));
  for (const int32_t dtype : {-1, 0, 2, 6, 8, 14, 17, 23, 1 << 30})
    EXPECT_FALSE(float_format(dtype));
}

}  // namespace
}  // namespace wshare
