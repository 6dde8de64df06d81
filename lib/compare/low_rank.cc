#include "compare/low_rank.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "compare/sketch.h"

// Problem: of two large matrices a and b, say whether b - a is a product of two thin ones (a merged
// LoRA update) and of which rank, with rounding noise on top and without knowing how it was merged.
//
// Idea: noise of independent roundings has no singular value much above rms x (sqrt m + sqrt n),
// and what the leading k values leave of ||b - a|| gives that rms without asking for dtypes. So the
// rank is the smallest k with s[k+1] <= 1.1 x rms(rest) x (sqrt m + sqrt n). Two checks keep other
// things out: the rest must be as small as roundings are (a full fine-tune has a rest, too, that
// looks like noise, but it is far larger), and the rank must be small against the changed rows and
// columns (a few changed rows are a matrix of low rank by themselves).
//
// The leading values come from a randomized sketch (sketch.h) that grows until the rule is decided.
// It stops early where no rank up to the largest allowed could explain ||b - a||. A rank or a
// tolerance from outside replaces the rule by its own, over the same sketch.
//
// Source of the rule: measured over exact spectra of merged tasks in fp32 and fp16; it found 100 %
// of the ranks but for values below the noise. Edge of uneven noise: Bandeira, van Handel 2016,
// "Sharp nonasymptotic bounds on the norm of random matrices with independent entries",
// theorem 1.1.

namespace wshare {
namespace {

constexpr double kEdgeSlack = 1.1;      // of the rule, at least
constexpr double kNoiseSlack = 1.5;     // of "as small as roundings are"
constexpr double kArithmetic = 4e-15;   // relative error of sums and products here
constexpr double kCancellation = 1e-9;  // relative size of a difference that cannot be trusted
constexpr size_t kFirstWidth = 24;
constexpr size_t kOversampling = 6;
constexpr double kClearGap = 100;       // s[k] / s[k+1] that needs no second look
constexpr double kSettled = 0.001;      // relative change from sweep to sweep: of signal
constexpr double kNoiseSettled = 0.05;  // of noise
constexpr int kMostSweeps = 8;          // at one width

class Analysis {
 public:
  Analysis(const MatrixView& a, const MatrixView& b, const DeltaOptions& options)
      : delta_(a, b), options_(options), survey_(delta_.survey()) {}

  DeltaAnalysis run() {
    DeltaAnalysis analysis;
    DeltaReport& report = analysis.report;
    report.rows = delta_.rows();
    report.cols = delta_.cols();
    report.changed_rows = survey_.changed_rows;
    report.changed_cols = survey_.changed_cols;
    if (!std::isfinite(survey_.square) || !std::isfinite(survey_.base_square)) {
      report.kind = DeltaKind::kNotFinite;
      return analysis;
    }
    report.relative_change = std::sqrt(survey_.square / survey_.base_square);
    if (survey_.base_square == 0) report.relative_change = 0;
    if (!options_.svd || survey_.square == 0) return analysis;
    // Doubles round, too, which shows where the tensors are doubles themselves.
    const double arithmetic = kArithmetic * kArithmetic * survey_.square / changed_area();
    survey_.noise_one += arithmetic;
    survey_.noise_both += arithmetic;
    edge_factor_ = std::max(kEdgeSlack, survey_.unevenness());
    const int64_t asked = options_.fixed_rank != 0 ? options_.fixed_rank : options_.max_rank;
    max_rank_ = std::min(asked, worthwhile_rank());
    if (max_rank_ < options_.fixed_rank) {
      report.kind = kind_of_the_rest();
    } else {
      decide(analysis);
    }
    return analysis;
  }

 private:
  double changed_rows() const { return static_cast<double>(survey_.changed_rows); }
  double changed_cols() const { return static_cast<double>(survey_.changed_cols); }
  double changed_area() const { return changed_rows() * changed_cols(); }

  // The largest rank whose two factors are smaller than what changed.
  int64_t worthwhile_rank() const {
    return static_cast<int64_t>((changed_area() - 1) / (changed_rows() + changed_cols()));
  }

  // The largest singular value that noise of mean square `square` has.
  double edge(double square) const {
    return edge_factor_ * std::sqrt(square) *
           (std::sqrt(changed_rows()) + std::sqrt(changed_cols()));
  }

  // What of ||b - a||^2 lies beyond the values of `sketch`. A difference of nearly equal numbers
  // would be all error, so then it is summed up directly, at the price of one more pass.
  double beyond(Sketch& sketch) {
    double rest = survey_.square;
    for (const double value : sketch.values()) rest -= value * value;
    if (rest > kCancellation * survey_.square) return rest;
    return delta_.rest_after(sketch.basis(), sketch.width()).square;
  }

  // What the first k values leave of ||b - a||^2, for each k up to their number.
  static std::vector<double> rests(const std::vector<double>& values, double beyond) {
    std::vector<double> rest(values.size() + 1, beyond);
    for (size_t k = values.size(); k-- > 0;) rest[k] = rest[k + 1] + values[k] * values[k];
    return rest;
  }

  // How many of the values of a sketch are good enough to end a search at.
  size_t last_rank(const std::vector<double>& values) const {
    return values.size() == delta_.cols() ? values.size() : values.size() - kOversampling;
  }

  // Returns the smallest k after which only noise follows, or nothing if `values` do not reach so
  // far. `noise_of` maps the mean square of what the first k values leave to that of the noise.
  template <typename NoiseOf>
  std::optional<size_t> find_rank(const std::vector<double>& values, double beyond,
                                  const NoiseOf& noise_of) const {
    const std::vector<double> rest = rests(values, beyond);
    for (size_t k = 0; k <= last_rank(values); ++k) {
      const double next = k < values.size() ? values[k] : 0;
      if (rest[k] <= largest_noise() && next <= edge(noise_of(rest[k] / changed_area()))) return k;
    }
    return std::nullopt;
  }

  std::optional<size_t> rank_by_rest(const std::vector<double>& values, double beyond) const {
    return find_rank(values, beyond,
                     [&](double rest) { return std::max(rest, survey_.noise_one); });
  }

  // The rank that the options ask for, or nothing if `values` do not reach so far.
  std::optional<size_t> choose_rank(const std::vector<double>& values, double beyond) const {
    const std::optional<size_t> by_rest = rank_by_rest(values, beyond);
    if (!is_told() || by_rest == size_t{0}) return by_rest;
    if (options_.fixed_rank != 0) {
      const auto rank = static_cast<size_t>(options_.fixed_rank);
      return rank <= last_rank(values) ? std::optional(rank) : std::nullopt;
    }
    const std::vector<double> rest = rests(values, beyond);
    for (size_t k = 1; k <= last_rank(values); ++k) {
      if (rest[k] <= most_left()) return k;
    }
    return std::nullopt;
  }

  // True if the options say what may be left, and not the roundings.
  bool is_told() const { return options_.fixed_rank != 0 || options_.tolerance > 0; }

  // The most that may be left of ||b - a||^2.
  double most_left() const {
    if (!is_told()) return largest_noise();
    if (options_.tolerance == 0) return std::numeric_limits<double>::infinity();
    return (1 + kCancellation) * options_.tolerance * options_.tolerance * survey_.square;
  }

  // True if no rank up to the largest one leaves as little as it should after `values`.
  bool is_hopeless(const std::vector<double>& values, double beyond) const {
    const double more =
        std::max<double>(0, static_cast<double>(max_rank_) - static_cast<double>(values.size()));
    return beyond > most_left() + 2 * more * values.back() * values.back();
  }

  // The most that roundings add to ||b - a||^2.
  double largest_noise() const {
    return kNoiseSlack * kNoiseSlack * survey_.noise_both * changed_area();
  }

  static bool settled(const std::vector<double>& values, const std::vector<double>& before,
                      size_t rank) {
    if (rank == 0 || rank >= values.size()) return true;
    if (values[rank - 1] >= kClearGap * values[rank]) return true;
    if (before.size() != values.size()) return false;
    for (size_t i = 0; i < rank; ++i) {
      if (std::abs(values[i] - before[i]) > kSettled * values[i]) return false;
    }
    // Noise has no gaps, so its values come slowly; its edge need not be known as well.
    return std::abs(values[rank] - before[rank]) <= kNoiseSettled * values[rank];
  }

  void decide(DeltaAnalysis& analysis) {
    const size_t widest =
        std::min<size_t>(delta_.cols(), static_cast<size_t>(max_rank_) + 2 * kOversampling);
    const size_t first =
        std::max(kFirstWidth, static_cast<size_t>(options_.fixed_rank) + kOversampling);
    Sketch sketch(delta_, std::min(first, widest));
    std::vector<double> before;
    for (int sweeps = 1;; ++sweeps) {
      sketch.sweep();
      const std::vector<double>& values = sketch.values();
      const double beyond = this->beyond(sketch);
      const std::optional<size_t> rank = choose_rank(values, beyond);
      const bool exact = sketch.width() == delta_.cols();
      if (rank && (exact || sweeps == kMostSweeps || settled(values, before, *rank))) {
        accept(analysis, sketch, *rank, beyond);
        return;
      }
      if (!rank) {
        if (sketch.width() >= widest || is_hopeless(values, beyond)) break;
        sketch.widen(std::min(2 * sketch.width(), widest));
        sweeps = 0;
      }
      before = values;
    }
    analysis.report.kind = kind_of_the_rest();
  }

  // What is neither low rank nor rounding.
  DeltaKind kind_of_the_rest() const {
    return looks_like_rows() ? DeltaKind::kFewRows : DeltaKind::kFullRank;
  }

  // Few enough rows (or columns) changed that they alone bound the rank.
  bool looks_like_rows() const {
    return 2 * survey_.changed_rows <= delta_.rows() || 2 * survey_.changed_cols <= delta_.cols();
  }

  bool is_acceptable(size_t rank, double left) const {
    if (rank == 0) return left <= largest_noise();
    if (static_cast<int64_t>(rank) > max_rank_ || left > most_left()) return false;
    return options_.tolerance > 0 || left <= largest_noise() || !looks_like_rows();
  }

  void accept(DeltaAnalysis& analysis, const Sketch& sketch, size_t rank, double beyond) {
    DeltaReport& report = analysis.report;
    std::vector<double> right = sketch.right_vectors(rank);
    Projection projection = delta_.project(right, rank);
    const Rest& rest = projection.rest;
    if (!is_acceptable(rank, rest.square)) {
      report.kind = kind_of_the_rest();
      return;
    }
    report.kind = rank == 0 ? DeltaKind::kRoundingOnly : DeltaKind::kLowRank;
    if (rank == 0) return;
    report.rank = static_cast<int64_t>(rank);
    const std::vector<double>& values = sketch.values();
    const auto by_rounding = find_rank(values, beyond, [&](double) { return survey_.noise_both; });
    report.rank_by_rounding = static_cast<int64_t>(by_rounding.value_or(sketch.width()));
    report.relative_error = std::sqrt(rest.square / survey_.square);
    report.max_abs_error = rest.max_abs;
    report.energy = std::max(0.0, 1 - rest.square / survey_.square);
    report.noise_edge = edge(std::max(rest.square / changed_area(), survey_.noise_one));
    report.singular_values = values;
    report.singular_values.resize(std::min(values.size(), rank + kOversampling));
    analysis.factors = {delta_.rows(),
                        delta_.cols(),
                        rank,
                        std::move(projection.product),
                        std::move(right),
                        report.singular_values,
                        report.noise_edge};
    balance(analysis.factors, values);
  }

  // From D V and V^T to factors of equal size.
  static void balance(LowRankFactors& factors, const std::vector<double>& values) {
    for (size_t k = 0; k < factors.rank; ++k) {
      const double root = std::sqrt(values[k]);
      for (size_t col = 0; col < factors.cols; ++col) factors.right[k * factors.cols + col] *= root;
      const double scale = root == 0 ? 0 : 1 / root;
      for (size_t row = 0; row < factors.rows; ++row) factors.left[row * factors.rank + k] *= scale;
    }
  }

  Delta delta_;
  const DeltaOptions& options_;
  Survey survey_;
  double edge_factor_ = kEdgeSlack;
  int64_t max_rank_ = 0;
};

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
  // The sketch is as wide as the shorter side at most.
  if (a.rows >= a.cols) return Analysis(a, b, options).run();
  DeltaAnalysis analysis = Analysis(transpose_of(a), transpose_of(b), options).run();
  std::swap(analysis.report.rows, analysis.report.cols);
  std::swap(analysis.report.changed_rows, analysis.report.changed_cols);
  LowRankFactors& factors = analysis.factors;
  if (factors.rank == 0) return analysis;
  std::vector<double> left = flipped(factors.right, factors.rank, factors.cols);
  factors.right = flipped(factors.left, factors.rows, factors.rank);
  factors.left = std::move(left);
  std::swap(factors.rows, factors.cols);
  return analysis;
}

}  // namespace wshare
