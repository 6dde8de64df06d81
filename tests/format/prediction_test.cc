#include "format/codec/prediction.h"

#include <gtest/gtest.h>

#include <bit>

#include "format/floats.h"
#include "wshare/error.h"

namespace wshare {
namespace {

using test::bytes_as;
using test::HeldMatrix;
using test::kFloatTypes;
using test::random_matrix;
using test::values_of;

std::string predict(const Prediction& prediction) {
  std::string bytes(check_prediction(prediction), '\0');
  Predictor(prediction)
      .predict({0, prediction.rows, 0, prediction.cols},
               reinterpret_cast<std::byte*>(bytes.data()));
  return bytes;
}

HeldMatrix row_of(const std::vector<double>& values, int32_t dtype) {
  return {bytes_as(values, dtype), dtype, 1, values.size()};
}
HeldMatrix column_of(const std::vector<double>& values, int32_t dtype) {
  return {bytes_as(values, dtype), dtype, values.size(), 1};
}

// The formula, element by element.
std::vector<double> by_definition(const Prediction& prediction) {
  std::vector<double> result;
  const auto at = [](const MatrixView& view, uint64_t row, uint64_t col) {
    double value = 0;
    read_block(view, {row, 1, col, 1}, 1, &value);
    return value;
  };
  for (uint64_t i = 0; i < prediction.rows; ++i) {
    for (uint64_t j = 0; j < prediction.cols; ++j) {
      volatile double sum =
          prediction.base ? prediction.multiplier * at(*prediction.base, i, j) : 0;
      for (uint64_t k = 0; prediction.left && k < prediction.left->cols; ++k) {
        // volatile: each is rounded to double, whatever this file is compiled with.
        volatile double product = at(*prediction.left, i, k) * at(*prediction.right, k, j);
        sum = sum + product;
      }
      result.push_back(static_cast<double>(sum));
    }
  }
  return result;
}

TEST(Predictor, AddsFromTheBaseOnInTheOrderOfTheRank) {
  struct Case {
    const char* name;
    double base;
    std::vector<double> left, right;
    double result;
  };
  for (const Case& c : {
           Case{"plain", 1, {2, 3}, {5, 7}, 32},
           // From the other end it would be 0x1p53 + 2.
           Case{"two small terms after a large one", 0x1p53, {1, 1}, {1, 1}, 0x1p53},
           Case{"two small terms before a large one", 1, {1, 0x1p53}, {1, 1}, 0x1p53 + 2},
           Case{"cancels, then adds", 0, {0x1p60, -0x1p60, 1}, {1, 1, 1}, 1},
           Case{"adds, then cancels", 0, {0x1p60, 1, -0x1p60}, {1, 1, 1}, 0},
           // In float 2^24 + 1 is 2^24.
           Case{"more than float holds", 0x1p24, {1, 1}, {1, 1}, 0x1p24 + 2},
       }) {
    SCOPED_TRACE(c.name);
    const HeldMatrix base = row_of({c.base}, kFloat64), left = row_of(c.left, kFloat64);
    const HeldMatrix right = column_of(c.right, kFloat64);
    EXPECT_EQ(
        values_of(predict({kFloat64, 1, 1, base.view(), 1, left.view(), right.view()}), kFloat64),
        std::vector<double>{c.result});
  }
}

TEST(Predictor, RoundsProductsOfDoublesOnTheirOwn) {
  // (1 + 2^-30)^2 = 1 + 2^-29 + 2^-60, whose last term only a fused multiply-add would see.
  const HeldMatrix base = row_of({-1 - 0x1p-29}, kFloat64);
  const HeldMatrix factor = row_of({1 + 0x1p-30}, kFloat64);
  EXPECT_EQ(
      values_of(predict({kFloat64, 1, 1, base.view(), 1, factor.view(), factor.view()}), kFloat64),
      std::vector<double>{0});
  // The same in multiplier * base + left * right.
  const HeldMatrix one = row_of({1}, kFloat64);
  EXPECT_EQ(
      values_of(predict({kFloat64, 1, 1, factor.view(), 1 + 0x1p-30, one.view(), base.view()}),
                kFloat64),
      std::vector<double>{0});
}

TEST(Predictor, RoundsOnceFromDouble) {
  // A sum that float rounds to the tie between two halfs, which then goes to the even one.
  const HeldMatrix base = row_of({1}, kFloat16), left = row_of({0x1p-11, 0x1p-20}, kFloat32);
  const HeldMatrix right = column_of({1, 0x1p-20}, kFloat32);
  EXPECT_EQ(
      values_of(predict({kFloat16, 1, 1, base.view(), 1, left.view(), right.view()}), kFloat16),
      std::vector<double>{1 + 0x1p-10});
}

TEST(Predictor, KeepsTheSignOfZero) {
  const HeldMatrix base = row_of({-0.0, 0.0, -0.0}, kFloat32);
  EXPECT_EQ(predict({kFloat32, 1, 3, base.view(), 1, {}, {}}), base.bytes);
  const HeldMatrix left = row_of({1}, kFloat32), right = row_of({-0.0, -0.0, 0.0}, kFloat32);
  const std::string expected = bytes_as({-0.0, 0.0, 0.0}, kFloat32);
  EXPECT_EQ(predict({kFloat32, 1, 3, base.view(), 1, left.view(), right.view()}), expected);
  // Without a base the first term is +0.
  EXPECT_EQ(predict({kFloat32, 1, 3, {}, 1, left.view(), right.view()}),
            bytes_as({0.0, 0.0, 0.0}, kFloat32));
}

TEST(Predictor, TransposesCastsAndScales) {
  const HeldMatrix stored{bytes_as({1, 2, 3, 4, 5, 6.5}, kFloat32), kFloat32, 2, 3};
  EXPECT_EQ(predict({kFloat32, 3, 2, transpose_of(stored.view()), 1, {}, {}}),
            bytes_as({1, 4, 2, 5, 3, 6.5}, kFloat32));
  EXPECT_EQ(predict({kBfloat16, 2, 3, stored.view(), -0.5, {}, {}}),
            bytes_as({-0.5, -1, -1.5, -2, -2.5, -3.25}, kBfloat16));
}

struct Shape {
  const char* name;
  uint64_t rows, cols, rank;
};
// Below, at and above the sizes that the work is cut into.
constexpr Shape kShapes[] = {{"one element", 1, 1, 1},       {"one row", 1, 1100, 3},
                             {"one column", 40, 1, 5},       {"rank 0", 5, 7, 0},
                             {"several tiles", 67, 1030, 9}, {"several panels", 33, 17, 71}};

TEST(Predictor, GivesTheBitsOfThePlainFormula) {
  uint32_t seed = 1;
  for (const Shape& shape : kShapes) {
    for (const int32_t dtype : kFloatTypes) {
      SCOPED_TRACE(testing::Message() << shape.name << ", type " << dtype);
      const HeldMatrix base = random_matrix(shape.rows, shape.cols, dtype, ++seed);
      const HeldMatrix flipped = random_matrix(shape.cols, shape.rows, dtype, ++seed);
      const HeldMatrix left = random_matrix(shape.rows, shape.rank, dtype, ++seed);
      const HeldMatrix right = random_matrix(shape.cols, shape.rank, dtype, ++seed);
      for (const auto& [view, multiplier] :
           {std::pair(base.view(), 1.0), std::pair(transpose_of(flipped.view()), 0.3)}) {
        const Prediction prediction{dtype,
                                    shape.rows,
                                    shape.cols,
                                    view,
                                    multiplier,
                                    left.view(),
                                    transpose_of(right.view())};
        ASSERT_TRUE(predict(prediction) == bytes_as(by_definition(prediction), dtype));
      }
    }
  }
}

TEST(Predictor, GivesTheSameRowsAloneAndTogether) {
  const HeldMatrix base = random_matrix(70, 33, kFloat16, 1),
                   left = random_matrix(70, 6, kFloat32, 2);
  const HeldMatrix right = random_matrix(6, 33, kFloat32, 3);
  const Prediction prediction{kFloat16, 70, 33, base.view(), 1, left.view(), right.view()};
  const std::string together = predict(prediction);
  Predictor predictor(prediction);
  std::string row(33 * 2, '\0');
  for (uint64_t i = 0; i < 70; ++i) {
    predictor.predict({i, 1, 0, 33}, reinterpret_cast<std::byte*>(row.data()));
    ASSERT_EQ(row, together.substr(i * row.size(), row.size())) << i;
  }
}

TEST(Stretches, CoverTheMatrixInOrder) {
  struct Case {
    const char* name;
    uint64_t rows, cols;
    size_t size;
    uint64_t stretches;
  };
  for (const Case& c :
       {Case{"small", 3, 5, 4, 1}, Case{"no rows", 0, uint64_t{1} << 63, 8, 0},
        Case{"no columns", uint64_t{1} << 63, 0, 8, 0}, Case{"rows of 4 KiB", 1000, 1024, 4, 4},
        Case{"rows of 128 KiB", 40, 32768, 4, 3}, Case{"rows of 1 MiB", 9, 1 << 18, 4, 2},
        Case{"rows of 10 MiB", 2, 5 << 20, 2, 20}}) {
    SCOPED_TRACE(c.name);
    Stretches stretches(c.rows, c.cols, c.size);
    uint64_t next = 0, count = 0;
    while (const std::optional<Stretch> stretch = stretches.next()) {
      EXPECT_EQ(stretch->row * c.cols + stretch->col, next);
      EXPECT_TRUE(stretch->rows == 1 || stretch->cols == c.cols);
      next += stretch->rows * stretch->cols;
      EXPECT_LE(stretch->rows * stretch->cols * c.size, stretches.size_bytes());
      ++count;
    }
    EXPECT_EQ(next, c.rows * c.cols);
    EXPECT_EQ(count, c.stretches);
    EXPECT_LE(stretches.size_bytes(), size_t{8} << 20);
  }
}

TEST(CheckPrediction, RefusesWhatContradictsItself) {
  const HeldMatrix base = random_matrix(4, 6, kFloat32, 1), left = random_matrix(4, 2, kFloat32, 2);
  const HeldMatrix right = random_matrix(2, 6, kFloat32, 3);
  const Prediction good{kFloat32, 4, 6, base.view(), 1, left.view(), right.view()};
  EXPECT_EQ(check_prediction(good), 96u);
  constexpr uint64_t kHuge = uint64_t{1} << 32;
  struct Case {
    const char* name;
    void (*spoil)(Prediction&);
  };
  for (const Case& c : {
           Case{"type of the result", [](Prediction& p) { p.dtype = 6; }},
           Case{"type of the base", [](Prediction& p) { p.base->dtype = 0; }},
           Case{"type of a factor", [](Prediction& p) { p.right->dtype = 8; }},
           Case{"rows", [](Prediction& p) { p.rows = 5; }},
           Case{"columns", [](Prediction& p) { p.cols = 5; }},
           Case{"base of another shape", [](Prediction& p) { p.base = transpose_of(*p.base); }},
           Case{"base too short", [](Prediction& p) { p.base->bytes = p.base->bytes.first(95); }},
           Case{"base of another size", [](Prediction& p) { p.base->dtype = kFloat64; }},
           Case{"ranks differ", [](Prediction& p) { p.right->rows = 3; }},
           Case{"factor too short", [](Prediction& p) { p.left->bytes = p.left->bytes.first(0); }},
           Case{"left factor missing", [](Prediction& p) { p.left.reset(); }},
           Case{"right factor missing", [](Prediction& p) { p.right.reset(); }},
           Case{"multiplier is no number", [](Prediction& p) { p.multiplier = NAN; }},
           Case{"multiplier is infinite", [](Prediction& p) { p.multiplier = -INFINITY; }},
           Case{"elements overflow",
                [](Prediction& p) { p = {kFloat32, kHuge, kHuge, {}, 1, {}, {}}; }},
           Case{"bytes overflow",
                [](Prediction& p) { p = {kFloat64, kHuge, kHuge / 8, {}, 1, {}, {}}; }},
           Case{"size overflows to that of the bytes",
                [](Prediction& p) {
                  p.left->cols = p.right->rows = uint64_t{1} << 62;
                  p.left->bytes = p.right->bytes = {};
                }},
       }) {
    SCOPED_TRACE(c.name);
    Prediction bad = good;
    c.spoil(bad);
    EXPECT_THROW(check_prediction(bad), Error);
    EXPECT_THROW(Predictor{bad}, Error);
  }
}

}  // namespace
}  // namespace wshare
