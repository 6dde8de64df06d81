#include "compare/low_rank/matrix.h"

#include <gtest/gtest.h>

#include <limits>

#include "compare/weights.h"

namespace wshare {
namespace {

using test::float_bytes;
using test::Proto;

// A tensor together with the bytes that it borrows.
struct Held {
  std::string bytes;
  TensorRef tensor;

  static Held of(const std::vector<double>& values, int type, std::vector<int64_t> shape) {
    return Held(float_bytes(values, type), type, std::move(shape));
  }
  Held(std::string raw, int type, std::vector<int64_t> shape) : bytes(std::move(raw)) {
    tensor.dtype = type;
    tensor.shape = std::move(shape);
    tensor.bytes = std::as_bytes(std::span(bytes));
  }
  Held(const Held&) = delete;
};

TEST(ReadRows, GivesExactValuesOfEveryFloatType) {
  // 2^-24 and 2^-15 are subnormal in half precision.
  const std::vector<double> values = {0, -1.5, 0x1p-24, 0x1p-15, 65504, -0x1p-14};
  for (const int type : {Proto::FLOAT, Proto::FLOAT16, Proto::DOUBLE}) {
    const Held held = Held::of(values, type, {2, 3});
    std::vector<double> out(6);
    read_rows(*matrix_of(held.tensor), 0, 2, out.data());
    EXPECT_EQ(out, values) << type;
  }
  const Held brain = Held::of({1.5, -0x1p-130, 0x1p127, 0}, Proto::BFLOAT16, {2, 2});
  std::vector<double> out(4);
  read_rows(*matrix_of(brain.tensor), 0, 2, out.data());
  EXPECT_EQ(out, (std::vector<double>{1.5, -0x1p-130, 0x1p127, 0}));
}

TEST(ReadRows, GivesInfinityAndNanOfHalfPrecision) {
  const Held held(std::string("\x00\x7c\x00\xfc\x01\x7e\x00\x00", 8), Proto::FLOAT16, {2, 2});
  std::vector<double> out(4);
  read_rows(*matrix_of(held.tensor), 0, 2, out.data());
  EXPECT_EQ(out[0], std::numeric_limits<double>::infinity());
  EXPECT_EQ(out[1], -std::numeric_limits<double>::infinity());
  EXPECT_TRUE(std::isnan(out[2]));
}

TEST(ReadRows, ReadsSomeRowsOfATranspose) {
  const Held held = Held::of({1, 2, 3, 4, 5, 6}, Proto::FLOAT, {2, 3});
  const MatrixView view = transpose_of(*matrix_of(held.tensor));
  EXPECT_EQ(view.rows, 3u);
  std::vector<double> out(4);
  read_rows(view, 1, 2, out.data());
  EXPECT_EQ(out, (std::vector<double>{2, 5, 3, 6}));
}

TEST(MatrixOf, TakesFloatTensorsOfTwoDimensionsOrMore) {
  struct Case {
    const char* name;
    size_t bytes;
    int type;
    std::vector<int64_t> shape;
    uint64_t rows, cols;  // 0: no matrix
  };
  for (const Case& c : {Case{"matrix", 24, Proto::FLOAT, {2, 3}, 2, 3},
                        Case{"convolution", 96, Proto::FLOAT, {2, 3, 2, 2}, 2, 12},
                        Case{"vector", 24, Proto::FLOAT, {6}, 0, 0},
                        Case{"integers", 24, Proto::INT32, {2, 3}, 0, 0},
                        Case{"empty", 0, Proto::FLOAT, {0, 3}, 0, 0},
                        Case{"fewer bytes than its shape", 20, Proto::FLOAT, {2, 3}, 0, 0}}) {
    SCOPED_TRACE(c.name);
    const Held held(std::string(c.bytes, '\0'), c.type, c.shape);
    const std::optional<MatrixView> view = matrix_of(held.tensor);
    ASSERT_EQ(view.has_value(), c.rows != 0);
    if (!view) continue;
    EXPECT_EQ(view->rows, c.rows);
    EXPECT_EQ(view->cols, c.cols);
  }
}

TEST(UsedSignificandBits, FindNarrowValuesInFloat32) {
  const auto bits = [](const std::vector<double>& values) {
    const Held held = Held::of(values, Proto::FLOAT, {1, static_cast<int64_t>(values.size())});
    return used_significand_bits(*matrix_of(held.tensor));
  };
  EXPECT_EQ(bits({1, 2, 0, -4}), 0);
  EXPECT_EQ(bits({1 + 0x1p-10, 8}), 10);
  EXPECT_EQ(bits({1 + 0x1p-7}), 7);
  EXPECT_EQ(bits({1 + 0x1p-23}), 23);
  EXPECT_EQ(bits({1, std::numeric_limits<double>::quiet_NaN()}), 0);
}

TEST(RoundingNoise, IsTheSquareOfASpacingOverTwelve) {
  EXPECT_EQ(RoundingNoise(10, Proto::FLOAT16).square_at(1.5), 0x1p-20 / 12);
  EXPECT_EQ(RoundingNoise(10, Proto::FLOAT16).square_at(-4), 0x1p-16 / 12);
  EXPECT_EQ(RoundingNoise(10, Proto::FLOAT16).square_at(0), 0x1p-48 / 12);
  EXPECT_EQ(RoundingNoise(23, Proto::FLOAT).square_at(0.5), 0x1p-48 / 12);
}

TEST(EqualTransposed, ComparesEveryElement) {
  std::vector<double> values, flipped;
  constexpr int64_t kRows = 130, kCols = 70;  // more than one tile, no multiple of it
  for (int64_t i = 0; i < kRows * kCols; ++i) values.push_back(static_cast<double>(i));
  for (int64_t col = 0; col < kCols; ++col) {
    for (int64_t row = 0; row < kRows; ++row) {
      flipped.push_back(static_cast<double>(row * kCols + col));
    }
  }
  const Held a = Held::of(values, Proto::FLOAT, {kRows, kCols});
  const Held b = Held::of(flipped, Proto::FLOAT, {kCols, kRows});
  EXPECT_TRUE(equal_transposed(a.tensor, b.tensor));
  EXPECT_FALSE(equal_transposed(a.tensor, a.tensor));
  for (const size_t at : {size_t{0}, flipped.size() / 2, flipped.size() - 1}) {
    std::vector<double> other = flipped;
    other[at] = -1;
    EXPECT_FALSE(equal_transposed(a.tensor, Held::of(other, Proto::FLOAT, {kCols, kRows}).tensor));
  }
}

TEST(CompareCast, RoundsTheWiderType) {
  struct Case {
    const char* name;
    double wide;
    int narrow;
    double to;
    CastResult result;
  };
  for (const Case& c :
       {Case{"exact", 0.5, Proto::FLOAT16, 0.5, CastResult::kEqual},
        Case{"tie to even", 1 + 0x1p-11, Proto::FLOAT16, 1, CastResult::kEqual},
        Case{"tie to odd", 1 + 0x1p-11, Proto::FLOAT16, 1 + 0x1p-10, CastResult::kDiffer},
        Case{"one step off", 0.5, Proto::FLOAT16, 0.5 + 0x1p-11, CastResult::kDiffer},
        Case{"bfloat16", 1 + 0x1p-9, Proto::BFLOAT16, 1, CastResult::kEqual},
        Case{"double", 1 + 0x1p-23, Proto::DOUBLE, 1 + 0x1p-23, CastResult::kEqual},
        Case{"double, one bit more", 1, Proto::DOUBLE, 1 + 0x1p-24, CastResult::kEqual},
        Case{"overflow", 1e6, Proto::FLOAT16, INFINITY, CastResult::kEqual},
        Case{"clamped", 1e6, Proto::FLOAT16, 1e4, CastResult::kClamped},
        Case{"clamped to the smallest", 1e-12, Proto::FLOAT16, 0x1p-24, CastResult::kClamped},
        Case{"sign lost", -1e-12, Proto::FLOAT16, 0x1p-24, CastResult::kDiffer},
        Case{"both NaN", NAN, Proto::FLOAT16, NAN, CastResult::kEqual},
        Case{"NaN and number", NAN, Proto::FLOAT16, 1, CastResult::kDiffer}}) {
    SCOPED_TRACE(c.name);
    const Held wide = Held::of({1, c.wide}, Proto::FLOAT, {1, 2});
    const Held narrow = Held::of({1, c.to}, c.narrow, {1, 2});
    EXPECT_EQ(compare_cast(wide.tensor, narrow.tensor), c.result);
    EXPECT_EQ(compare_cast(narrow.tensor, wide.tensor), c.result);
  }
}

}  // namespace
}  // namespace wshare
