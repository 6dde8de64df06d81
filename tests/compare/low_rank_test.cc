#include "compare/low_rank/low_rank.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "compare/analyze.h"

namespace wshare {
namespace {

using test::analyze;
using test::float_bytes;
using test::Matrix;
using test::Proto;
using test::random_matrix;
using test::sum;
using test::view_of;

TEST(AnalyzeDelta, FindsTheRankOfAMergedUpdate) {
  struct Case {
    const char* name;
    int64_t rows, cols, rank;
    int type;
  };
  for (const Case& c :
       {Case{"fp32", 200, 120, 4, Proto::FLOAT}, Case{"fp32 wide", 64, 700, 16, Proto::FLOAT},
        Case{"rank 1", 150, 150, 1, Proto::FLOAT},
        Case{"more than one sketch", 300, 280, 60, Proto::FLOAT},
        Case{"fp16", 256, 192, 8, Proto::FLOAT16}, Case{"bf16", 256, 256, 4, Proto::BFLOAT16},
        Case{"double", 128, 96, 5, Proto::DOUBLE},
        Case{"several panels", 5000, 80, 6, Proto::FLOAT}}) {
    SCOPED_TRACE(c.name);
    const Matrix base = random_matrix(c.rows, c.cols, 1);
    const Matrix update = test::low_rank(c.rows, c.cols, c.rank, 2, 0.02);
    const DeltaReport report = analyze(base, sum(base, update), c.type);
    EXPECT_EQ(report.kind, DeltaKind::kLowRank);
    EXPECT_EQ(report.rank, c.rank);
    EXPECT_EQ(report.rank_by_rounding, c.rank);
    EXPECT_EQ(report.rows, static_cast<uint64_t>(c.rows));
    EXPECT_EQ(report.cols, static_cast<uint64_t>(c.cols));
    const double spacing = c.type == Proto::FLOAT16    ? 0x1p-10
                           : c.type == Proto::BFLOAT16 ? 0x1p-7
                           : c.type == Proto::DOUBLE   ? 0x1p-52
                                                       : 0x1p-23;
    // What is left is rounding of weights of deviation 0.05, the update has 0.02.
    EXPECT_LT(report.relative_error, 4 * spacing);
    EXPECT_LT(report.max_abs_error, spacing);
    EXPECT_GT(report.max_abs_error, 0);
    EXPECT_NEAR(report.energy, 1, spacing);
  }
}

// Returns u diag(values) v^T with random orthonormal u and v.
Matrix with_values(int64_t rows, int64_t cols, const std::vector<double>& values, uint64_t seed) {
  const auto rank = static_cast<int64_t>(values.size());
  Matrix left = random_matrix(rank, rows, seed), right = random_matrix(rank, cols, seed + 1);
  for (Matrix* vectors : {&left, &right}) {
    for (int64_t i = 0; i < rank; ++i) {  // Gram-Schmidt, by rows
      for (int64_t j = 0; j <= i; ++j) {
        double dot = 0;
        for (int64_t k = 0; k < vectors->cols; ++k) dot += vectors->at(i, k) * vectors->at(j, k);
        for (int64_t k = 0; k < vectors->cols; ++k) {
          vectors->at(i, k) -= (i == j ? 1 - 1 / std::sqrt(dot) : dot) * vectors->at(j, k);
        }
      }
    }
  }
  for (int64_t i = 0; i < rank; ++i) {
    for (int64_t k = 0; k < rows; ++k) left.at(i, k) *= values[static_cast<size_t>(i)];
  }
  return product(test::transposed(left), right);
}

// In small matrices the largest value of noise varies much, and a few directions of the update take
// a good part of it away.
TEST(AnalyzeDelta, FindsTheRankOfEverySmallMatrix) {
  constexpr int kPairs = 100;
  for (const int type : {Proto::FLOAT, Proto::FLOAT16, Proto::BFLOAT16, Proto::DOUBLE}) {
    for (const auto& [rows, cols] :
         {std::pair{16, 16}, {32, 32}, {64, 64}, {32, 128}, {16, 256}, {128, 64}}) {
      for (const int64_t rank : {1, 2, 4, 8}) {
        if (2 * rank * (rows + cols) >= rows * cols) continue;
        for (uint64_t pair = 0; pair < kPairs; ++pair) {
          SCOPED_TRACE(std::to_string(rows) + " x " + std::to_string(cols) + ", type " +
                       std::to_string(type) + ", pair " + std::to_string(pair));
          const Matrix base = random_matrix(rows, cols, 1000 + pair);
          const Matrix update = test::low_rank(rows, cols, rank, 500000 + 3 * pair, 0.02);
          const DeltaReport report = analyze(base, sum(base, update), type);
          EXPECT_EQ(report.kind, DeltaKind::kLowRank);
          ASSERT_EQ(report.rank, rank);
        }
      }
    }
  }
}

TEST(AnalyzeDelta, FindsWhatStandsAboveTheNoise) {
  for (const int type : {Proto::FLOAT, Proto::FLOAT16}) {
    const double spacing = type == Proto::FLOAT ? 0x1p-24 : 0x1p-11;
    for (const auto& [rows, cols] : {std::pair{64, 64}, {32, 128}, {128, 128}}) {
      // Weights of deviation 0.05 have roundings of about 0.03 x spacing; both sides are rounded.
      const double edge = 0.03 * spacing * (std::sqrt(double(rows)) + std::sqrt(double(cols)));
      for (uint64_t pair = 0; pair < 100; ++pair) {
        SCOPED_TRACE(std::to_string(rows) + " x " + std::to_string(cols) + ", type " +
                     std::to_string(type) + ", pair " + std::to_string(pair));
        const Matrix base = random_matrix(rows, cols, 1000 + pair);
        const std::vector<double> values = {1, 0.1, 100 * edge, 8 * edge, 3 * edge, 2 * edge};
        const Matrix update = with_values(rows, cols, values, 700000 + 3 * pair);
        ASSERT_EQ(analyze(base, sum(base, update), type).rank, 6);
      }
    }
  }
}

TEST(AnalyzeDelta, FindsFloat16ValuesThatAreStoredAsFloat32) {
  const Matrix base = random_matrix(128, 128, 3);
  const Matrix update = test::low_rank(128, 128, 4, 4, 0.02);
  const auto rounded = [](Matrix matrix) {
    for (double& value : matrix.values) {
      value = std::nearbyint(std::ldexp(value, 10 - std::ilogb(value))) *
              std::ldexp(1.0, std::ilogb(value) - 10);
    }
    return matrix;
  };
  const DeltaReport report = analyze(rounded(base), rounded(sum(base, update)));
  EXPECT_EQ(report.kind, DeltaKind::kLowRank);
  EXPECT_EQ(report.rank, 4);
}

TEST(AnalyzeDelta, IsNotMisledByARowOfLargeWeights) {
  Matrix base = random_matrix(128, 128, 5);
  for (int64_t col = 0; col < 128; ++col) base.at(17, col) *= 16;
  const DeltaReport report = analyze(base, sum(base, test::low_rank(128, 128, 3, 6)));
  EXPECT_EQ(report.kind, DeltaKind::kLowRank);
  EXPECT_EQ(report.rank, 3);
}

TEST(AnalyzeDelta, TellsWhatIsNoLowRank) {
  const Matrix base = random_matrix(160, 128, 7);
  Matrix rows = base;
  const Matrix moved = random_matrix(12, 128, 18, 0.01);
  for (int64_t row = 0; row < 12; ++row) {
    for (int64_t col = 0; col < 128; ++col) rows.at(row * 9, col) += moved.at(row, col);
  }
  Matrix columns = base;
  for (int64_t row = 0; row < 160; ++row) columns.at(row, 5) += 0.01 * double(row % 5 + 1);
  Matrix nan = base;
  nan.at(3, 4) = std::numeric_limits<double>::quiet_NaN();
  Matrix infinite = base;
  infinite.at(159, 127) = std::numeric_limits<double>::infinity();
  Matrix nudged = base;  // by less than a spacing of float32
  for (double& value : nudged.values) value *= 1 + 0x1p-26;
  struct Case {
    const char* name;
    const Matrix& b;
    DeltaKind kind;
    uint64_t rows, cols;
  };
  const Matrix full = sum(base, random_matrix(160, 128, 8, 0.001));
  const Matrix both = sum(full, test::low_rank(160, 128, 4, 9, 0.02));
  for (const Case& c : {Case{"full fine-tune", full, DeltaKind::kFullRank, 160, 128},
                        Case{"low rank and full", both, DeltaKind::kFullRank, 160, 128},
                        Case{"few rows", rows, DeltaKind::kFewRows, 12, 128},
                        Case{"one column", columns, DeltaKind::kFewRows, 160, 1},
                        Case{"NaN", nan, DeltaKind::kNotFinite, 1, 1},
                        Case{"infinity", infinite, DeltaKind::kNotFinite, 1, 1},
                        Case{"equal", base, DeltaKind::kFullRank, 0, 0}}) {
    SCOPED_TRACE(c.name);
    const DeltaReport report = analyze(base, c.b);
    EXPECT_EQ(report.kind, c.kind);
    EXPECT_EQ(report.changed_rows, c.rows);
    EXPECT_EQ(report.changed_cols, c.cols);
    EXPECT_EQ(report.rank, 0);
  }
  EXPECT_EQ(analyze(base, nudged).kind, DeltaKind::kRoundingOnly);
}

TEST(AnalyzeDelta, FindsLowRankInTheRowsThatChanged) {
  // An embedding whose LoRA saw few tokens.
  Matrix b = random_matrix(600, 64, 10);
  const Matrix base = b;
  const Matrix update = test::low_rank(100, 64, 4, 11, 0.02);
  for (int64_t row = 0; row < 100; ++row) {
    for (int64_t col = 0; col < 64; ++col) b.at(row * 6, col) += update.at(row, col);
  }
  const DeltaReport report = analyze(base, b);
  EXPECT_EQ(report.kind, DeltaKind::kLowRank);
  EXPECT_EQ(report.rank, 4);
  EXPECT_EQ(report.changed_rows, 100u);
}

TEST(AnalyzeDelta, RespectsTheLargestRank) {
  const Matrix base = random_matrix(200, 200, 12);
  const Matrix b = sum(base, test::low_rank(200, 200, 20, 13, 0.02));
  EXPECT_EQ(analyze(base, b, Proto::FLOAT, {20, true}).rank, 20);
  EXPECT_EQ(analyze(base, b, Proto::FLOAT, {19, true}).kind, DeltaKind::kFullRank);
  EXPECT_EQ(analyze(base, b, Proto::FLOAT, {256, false}).kind, DeltaKind::kFullRank);
  EXPECT_GT(analyze(base, b, Proto::FLOAT, {256, false}).relative_change, 0.3);
}

TEST(AnalyzeDelta, ReadsATransposeLikeTheMatrix) {
  const Matrix base = random_matrix(100, 60, 14);
  const Matrix b = sum(base, test::low_rank(100, 60, 7, 15));
  const Matrix flipped = test::transposed(b);
  const std::string in_a = float_bytes(base.values, Proto::FLOAT);
  const std::string in_b = float_bytes(flipped.values, Proto::FLOAT);
  const DeltaReport report = analyze_delta(view_of(in_a, Proto::FLOAT, base),
                                           transpose_of(view_of(in_b, Proto::FLOAT, flipped)), {})
                                 .report;
  const DeltaReport plain = analyze(base, b);
  EXPECT_EQ(report.kind, DeltaKind::kLowRank);
  EXPECT_EQ(report.rank, 7);
  EXPECT_EQ(report.relative_error, plain.relative_error);
  EXPECT_EQ(report.max_abs_error, plain.max_abs_error);
}

TEST(AnalyzeDelta, TakesMatricesOfAnyShape) {
  for (const auto& [rows, cols] : {std::pair{1, 1}, {1, 40}, {40, 1}, {2, 2}, {3, 900}}) {
    SCOPED_TRACE(std::to_string(rows) + " x " + std::to_string(cols));
    const Matrix base = random_matrix(rows, cols, 16);
    const DeltaReport report = analyze(base, sum(base, random_matrix(rows, cols, 17)));
    EXPECT_NE(report.kind, DeltaKind::kLowRank);
    EXPECT_EQ(report.changed_rows, static_cast<uint64_t>(rows));
  }
}

}  // namespace
}  // namespace wshare
