#include "compare/low_rank/low_rank.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "compare/low_rank/rank_rule.h"
#include "compare/low_rank/sketch.h"

// Problem: of two large matrices a and b, say whether b - a is a product of two thin ones (a merged
// LoRA update) and of which rank, with rounding noise on top and without knowing how it was merged.
//
// Idea: the leading singular values come from a randomized sketch (sketch.h) that grows until the
// rule (rank_rule.h) is decided. It stops early where no rank up to the largest allowed could
// explain ||b - a||.

namespace wshare {
namespace {

constexpr size_t kFirstWidth = 24;
constexpr size_t kOversampling = RankRule::kOversampling;
constexpr double kClearGap = 20;        // s[k] / s[k+1] that needs no second look
constexpr double kSettled = 0.001;      // relative change from sweep to sweep: of signal
constexpr double kNoiseSettled = 0.05;  // of noise
constexpr int kMostSweeps = 8;          // at one width
constexpr uint64_t kMostRows = std::numeric_limits<int32_t>::max();  // that BLAS can count

bool settled(const std::vector<double>& values, const std::vector<double>& before, size_t rank) {
  if (rank == 0 || rank >= values.size()) return true;
  if (values[rank - 1] >= kClearGap * values[rank]) return true;
  if (before.size() != values.size()) return false;
  for (size_t i = 0; i < rank; ++i) {
    if (std::abs(values[i] - before[i]) > kSettled * values[i]) return false;
  }
  // Noise has no gaps, so its values come slowly; its edge need not be known as well.
  return std::abs(values[rank] - before[rank]) <= kNoiseSettled * values[rank];
}

// From D V and V^T to factors of equal size.
LowRankFactors balanced(const Delta& delta, Directions directions,
                        const std::vector<double>& values) {
  LowRankFactors factors{delta.rows(),
                         delta.cols(),
                         directions.count,
                         std::move(directions.left),
                         std::move(directions.right),
                         {},
                         0};
  for (size_t k = 0; k < factors.rank; ++k) {
    const double root = std::sqrt(values[k]);
    for (size_t col = 0; col < factors.cols; ++col) factors.right[k * factors.cols + col] *= root;
    const double scale = root == 0 ? 0 : 1 / root;
    for (size_t row = 0; row < factors.rows; ++row) factors.left[row * factors.rank + k] *= scale;
  }
  return factors;
}

// Where a search stands after a sweep.
struct Cut {
  std::optional<size_t> rank;  // that would be taken; none if the sketch does not reach so far
  double beyond = 0;           // of ||b - a||^2, what lies beyond the sketch
  Directions directions;       // some that were cut off, and what they left, if that was looked at
  std::optional<Rest> rest;
};

class Search {
 public:
  Search(Delta& delta, const Survey& survey, const DeltaOptions& options)
      : delta_(delta),
        survey_(survey),
        options_(options),
        rule_(survey, delta.rows(), delta.cols(), options) {}

  // Fills in what the survey does not know.
  void run(DeltaAnalysis& analysis) {
    if (rule_.largest_rank() < options_.fixed_rank) {
      analysis.report.kind = rule_.kind_of_the_rest();
    } else {
      decide(analysis);
    }
  }

 private:
  // Finds the rank. Where the sizes do not tell what lies beyond the sketch, it is nothing at
  // first; what the rank that comes out then leaves of the matrix tells the rest.
  Cut look(const Sketch& sketch) {
    const std::vector<double>& values = sketch.values();
    Cut cut;
    const std::optional<double> beyond = rule_.beyond(values);
    cut.beyond = beyond.value_or(0);
    cut.rank = rule_.choose(values, cut.beyond);
    if (beyond) return cut;
    const size_t count = cut.rank.value_or(sketch.width());
    cut_off(cut, sketch, count);
    cut.beyond = cut.rest->square;
    for (size_t k = count; k < values.size(); ++k) cut.beyond -= values[k] * values[k];
    cut.beyond = std::max(0.0, cut.beyond);
    cut.rank = rule_.choose(values, cut.beyond);
    return cut;
  }

  void cut_off(Cut& cut, const Sketch& sketch, size_t count) {
    cut.directions = sketch.leading(count);
    cut.rest = delta_.rest_after(cut.directions);
  }

  void decide(DeltaAnalysis& analysis) {
    const size_t widest = std::min<size_t>(
        delta_.cols(), static_cast<size_t>(rule_.largest_rank()) + 2 * kOversampling);
    const size_t first =
        std::max(kFirstWidth, static_cast<size_t>(options_.fixed_rank) + kOversampling);
    Sketch sketch(delta_, std::min(first, widest));
    std::vector<double> before;
    for (int sweeps = 1;; ++sweeps) {
      sketch.sweep();
      const std::vector<double>& values = sketch.values();
      Cut cut = look(sketch);
      const bool exact = sketch.width() == delta_.cols();
      if (cut.rank && (exact || sweeps == kMostSweeps || settled(values, before, *cut.rank))) {
        accept(analysis, sketch, std::move(cut));
        return;
      }
      if (!cut.rank) {
        if (sketch.width() >= widest || rule_.is_hopeless(values, cut.beyond)) break;
        sketch.widen(std::min(2 * sketch.width(), widest));
        sweeps = 0;
      }
      before = values;
    }
    analysis.report.kind = rule_.kind_of_the_rest();
  }

  void accept(DeltaAnalysis& analysis, const Sketch& sketch, Cut cut) {
    DeltaReport& report = analysis.report;
    const size_t rank = *cut.rank;
    if (!cut.rest || cut.directions.count != rank) cut_off(cut, sketch, rank);
    if (!rule_.is_acceptable(rank, cut.rest->square)) {
      report.kind = rule_.kind_of_the_rest();
      return;
    }
    report.kind = rank == 0 ? DeltaKind::kRoundingOnly : DeltaKind::kLowRank;
    if (rank == 0) return;
    report.rank = static_cast<int64_t>(rank);
    const std::vector<double>& values = sketch.values();
    report.rank_by_rounding =
        static_cast<int64_t>(rule_.by_rounding(values, cut.beyond).value_or(sketch.width()));
    report.relative_error = std::sqrt(cut.rest->square / survey_.square);
    report.max_abs_error = cut.rest->max_abs;
    report.energy = std::max(0.0, 1 - cut.rest->square / survey_.square);
    report.noise_edge = rule_.edge_of_rest(cut.rest->square, rank);
    report.singular_values = values;
    report.singular_values.resize(std::min(values.size(), rank + kOversampling));
    analysis.factors = balanced(delta_, std::move(cut.directions), values);
    analysis.factors.edge = report.noise_edge;
    analysis.factors.values = report.singular_values;
  }

  Delta& delta_;
  const Survey& survey_;
  const DeltaOptions& options_;
  RankRule rule_;
};

// Of matrices with rows >= cols, so that a sketch is as wide as the shorter side at most.
DeltaAnalysis analyze_tall(const MatrixView& a, const MatrixView& b, const DeltaOptions& options) {
  Delta delta(a, b);
  const Survey survey = delta.survey();
  DeltaAnalysis analysis;
  DeltaReport& report = analysis.report;
  report.rows = delta.rows();
  report.cols = delta.cols();
  report.changed_rows = survey.changed_rows;
  report.changed_cols = survey.changed_cols;
  report.row_runs = survey.row_runs;
  report.col_runs = survey.col_runs;
  if (!std::isfinite(survey.square) || !std::isfinite(survey.base_square)) {
    report.kind = DeltaKind::kNotFinite;
    return analysis;
  }
  if (survey.base_square != 0) {
    report.relative_change = std::sqrt(survey.square / survey.base_square);
  }
  if (!options.svd || survey.square == 0 || delta.rows() > kMostRows) return analysis;
  Search(delta, survey, options).run(analysis);
  return analysis;
}

// Returns `matrix` [rows, cols] as [cols, rows], both row-major.
std::vector<double> flipped(const std::vector<double>& matrix, size_t rows, size_t cols) {
  std::vector<double> result(matrix.size());
  for (size_t row = 0; row < rows; ++row) {
    for (size_t col = 0; col < cols; ++col) result[col * rows + row] = matrix[row * cols + col];
  }
  return result;
}

}  // namespace

DeltaAnalysis analyze_delta(const MatrixView& a, const MatrixView& b, const DeltaOptions& options) {
  if (a.rows >= a.cols) return analyze_tall(a, b, options);
  DeltaAnalysis analysis = analyze_tall(transpose_of(a), transpose_of(b), options);
  std::swap(analysis.report.rows, analysis.report.cols);
  std::swap(analysis.report.changed_rows, analysis.report.changed_cols);
  std::swap(analysis.report.row_runs, analysis.report.col_runs);
  LowRankFactors& factors = analysis.factors;
  if (factors.rank == 0) return analysis;
  std::vector<double> left = flipped(factors.right, factors.rank, factors.cols);
  factors.right = flipped(factors.left, factors.rows, factors.rank);
  factors.left = std::move(left);
  std::swap(factors.rows, factors.cols);
  return analysis;
}

}  // namespace wshare
