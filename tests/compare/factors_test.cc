// The factors of a low rank, and ranks that are asked for.

#include <gtest/gtest.h>

#include <cmath>

#include "compare/analyze.h"

namespace wshare {
namespace {

using test::analysis_of;
using test::analyze;
using test::float_bytes;
using test::Matrix;
using test::Proto;
using test::random_matrix;
using test::sum;
using test::view_of;

Matrix left_of(const LowRankFactors& factors) {
  return {static_cast<int64_t>(factors.rows), static_cast<int64_t>(factors.rank), factors.left};
}
Matrix right_of(const LowRankFactors& factors) {
  return {static_cast<int64_t>(factors.rank), static_cast<int64_t>(factors.cols), factors.right};
}

// ||x - y|| / ||y||, Frobenius
double distance(const Matrix& x, const Matrix& y) {
  double square = 0, size = 0;
  for (size_t i = 0; i < y.values.size(); ++i) {
    square += (x.values[i] - y.values[i]) * (x.values[i] - y.values[i]);
    size += y.values[i] * y.values[i];
  }
  return std::sqrt(square / size);
}

TEST(AnalyzeDelta, GivesBalancedFactorsThatMakeTheUpdate) {
  struct Case {
    const char* name;
    int64_t rows, cols;
    bool stored_transposed;
  };
  for (const Case& c : {Case{"tall", 300, 70, false}, Case{"wide", 50, 400, false},
                        Case{"tall, transposed in b", 300, 70, true},
                        Case{"wide, transposed in b", 50, 400, true}}) {
    SCOPED_TRACE(c.name);
    const Matrix base = random_matrix(c.rows, c.cols, 21);
    const Matrix update = test::low_rank(c.rows, c.cols, 6, 22, 0.02);
    const Matrix b = sum(base, update);
    const Matrix flipped = test::transposed(b);
    const std::string in_a = float_bytes(base.values, Proto::FLOAT);
    const std::string in_b =
        float_bytes(c.stored_transposed ? flipped.values : b.values, Proto::FLOAT);
    const MatrixView of_b = c.stored_transposed ? transpose_of(view_of(in_b, Proto::FLOAT, flipped))
                                                : view_of(in_b, Proto::FLOAT, b);
    const auto [report, factors] = analyze_delta(view_of(in_a, Proto::FLOAT, base), of_b, {});
    ASSERT_EQ(report.rank, 6);
    EXPECT_EQ(factors.rows, static_cast<uint64_t>(c.rows));
    EXPECT_EQ(factors.cols, static_cast<uint64_t>(c.cols));
    EXPECT_EQ(factors.rank, 6u);
    EXPECT_LT(distance(product(left_of(factors), right_of(factors)), update), 1e-6);
    for (int64_t k = 0; k < 6; ++k) {
      double of_left = 0, of_right = 0;
      for (int64_t row = 0; row < c.rows; ++row) {
        of_left += std::pow(left_of(factors).at(row, k), 2);
      }
      for (int64_t col = 0; col < c.cols; ++col) {
        of_right += std::pow(right_of(factors).at(k, col), 2);
      }
      const double value = report.singular_values[static_cast<size_t>(k)];
      EXPECT_NEAR(of_left / value, 1, 1e-9);
      EXPECT_NEAR(of_right / value, 1, 1e-9);
    }
    EXPECT_GT(report.singular_values.size(), 6u);
    EXPECT_GT(report.singular_values[5], 100 * report.noise_edge);
    EXPECT_LT(report.singular_values[6], report.noise_edge);
    EXPECT_EQ(factors.values, report.singular_values);
    EXPECT_EQ(factors.edge, report.noise_edge);
  }
}

// Of a fused weight of which only some layers were trained.
TEST(AnalyzeDelta, NamesTheBlocksThatChanged) {
  const Matrix base = random_matrix(90, 40, 40);
  const Matrix update = test::low_rank(30, 40, 3, 41, 0.02);
  const auto with_update_at = [&](const std::vector<int64_t>& firsts, int64_t rows) {
    Matrix matrix = base;
    for (const int64_t first : firsts) {
      for (int64_t row = 0; row < rows; ++row) {
        for (int64_t col = 0; col < 40; ++col) matrix.at(first + row, col) += update.at(row, col);
      }
    }
    return matrix;
  };
  using Runs = std::vector<IndexRun>;
  struct Case {
    const char* name;
    Matrix b;
    Runs runs;
  };
  for (const Case& c : {Case{"Q", with_update_at({0}, 30), {{0, 29}}},
                        Case{"Q and V", with_update_at({0, 60}, 30), {{0, 29}, {60, 89}}},
                        Case{"all", with_update_at({0, 30, 60}, 30), {}},
                        Case{"too many blocks", with_update_at({0, 15, 30, 45, 60}, 10), {}}}) {
    SCOPED_TRACE(c.name);
    const DeltaReport by_rows = analyze(base, c.b);
    EXPECT_EQ(by_rows.kind, DeltaKind::kLowRank);
    EXPECT_EQ(by_rows.row_runs, c.runs);
    EXPECT_EQ(by_rows.col_runs, Runs{});
    const DeltaReport by_columns = analyze(test::transposed(base), test::transposed(c.b));
    EXPECT_EQ(by_columns.row_runs, Runs{});
    EXPECT_EQ(by_columns.col_runs, c.runs);
  }
}

TEST(AnalyzeDelta, GivesNoFactorsWithoutARank) {
  const Matrix base = random_matrix(90, 80, 23);
  const DeltaAnalysis analysis = analysis_of(base, sum(base, random_matrix(90, 80, 24, 0.001)));
  EXPECT_EQ(analysis.report.kind, DeltaKind::kFullRank);
  EXPECT_TRUE(analysis.factors.left.empty());
  EXPECT_TRUE(analysis.report.singular_values.empty());
}

TEST(AnalyzeDelta, TakesExactlyTheRankThatIsFixed) {
  const Matrix base = random_matrix(120, 100, 25);
  const Matrix merged = sum(base, test::low_rank(120, 100, 6, 26, 0.02));
  const Matrix tuned = sum(base, random_matrix(120, 100, 27, 0.001));
  Matrix rows = base;
  for (int64_t row = 0; row < 30; ++row) {
    for (int64_t col = 0; col < 100; ++col) rows.at(4 * row, col) = -base.at(4 * row, col);
  }
  Matrix nudged = base;
  for (double& value : nudged.values) value *= 1 + 0x1p-26;
  struct Case {
    const char* name;
    const Matrix& b;
    DeltaOptions options;
    DeltaKind kind;
    double least_error, largest_error;
  };
  for (const Case& c :
       {Case{"less than there is", merged, {256, true, 4, 0}, DeltaKind::kLowRank, 0.05, 0.6},
        Case{"more than there is", merged, {256, true, 9, 0}, DeltaKind::kLowRank, 0, 1e-5},
        Case{"more than max_rank", merged, {2, true, 6, 0}, DeltaKind::kLowRank, 0, 1e-5},
        Case{"full fine-tune", tuned, {256, true, 8, 0}, DeltaKind::kLowRank, 0.5, 1},
        Case{"not within the tolerance", tuned, {256, true, 8, 0.1}, DeltaKind::kFullRank, 0, 0},
        Case{"within the tolerance", merged, {256, true, 5, 0.6}, DeltaKind::kLowRank, 0.01, 0.6},
        Case{"more than is worth it", merged, {256, true, 60, 0}, DeltaKind::kFullRank, 0, 0},
        Case{"few rows", rows, {256, true, 4, 0}, DeltaKind::kFewRows, 0, 0},
        Case{"rounding", nudged, {256, true, 4, 0}, DeltaKind::kRoundingOnly, 0, 0}}) {
    SCOPED_TRACE(c.name);
    const auto [report, factors] = analysis_of(base, c.b, Proto::FLOAT, c.options);
    EXPECT_EQ(report.kind, c.kind);
    const bool low_rank = c.kind == DeltaKind::kLowRank;
    EXPECT_EQ(report.rank, low_rank ? c.options.fixed_rank : 0);
    EXPECT_EQ(factors.rank, static_cast<uint64_t>(report.rank));
    EXPECT_GE(report.relative_error, c.least_error);
    EXPECT_LE(report.relative_error, c.largest_error);
  }
}

TEST(AnalyzeDelta, TakesTheSmallestRankWithinTheTolerance) {
  const Matrix base = random_matrix(120, 100, 28);
  Matrix difference = test::low_rank(120, 100, 3, 29, 0.02);
  difference = sum(difference, test::low_rank(120, 100, 4, 30, 0.001));
  difference = sum(difference, random_matrix(120, 100, 31, 0.0001));
  const Matrix b = sum(base, difference);
  struct Case {
    double tolerance;
    int64_t max_rank, rank;
  };
  for (const Case& c : {Case{0.2, 256, 3}, Case{0.01, 256, 7}, Case{0.01, 7, 7}, Case{0.01, 6, 0},
                        Case{1e-6, 256, 0}}) {
    SCOPED_TRACE(c.tolerance);
    const DeltaOptions options{c.max_rank, true, 0, c.tolerance};
    const auto [report, factors] = analysis_of(base, b, Proto::FLOAT, options);
    EXPECT_EQ(report.rank, c.rank);
    EXPECT_EQ(report.kind, c.rank == 0 ? DeltaKind::kFullRank : DeltaKind::kLowRank);
    EXPECT_EQ(report.rank_by_rounding > 7, c.rank != 0);
    if (c.rank == 0) continue;
    EXPECT_LE(report.relative_error, c.tolerance);
    EXPECT_NEAR(distance(product(left_of(factors), right_of(factors)), difference),
                report.relative_error, 1e-4);
    // One less would leave more.
    EXPECT_GT(report.singular_values[static_cast<size_t>(c.rank) - 1],
              2 * report.singular_values[static_cast<size_t>(c.rank)]);
  }
}

}  // namespace
}  // namespace wshare
