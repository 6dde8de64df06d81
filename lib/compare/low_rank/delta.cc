#include "compare/low_rank/delta.h"

#include <algorithm>
#include <cmath>

#include "compare/low_rank/blas.h"

namespace wshare {
namespace {

using blas::Op;

constexpr size_t kPanelBytes = size_t{1} << 20;  // about what a core has as cache of its own
constexpr uint64_t kFewestPanelRows = 64;
constexpr uint64_t kPieceElements = 4096;  // that are converted while the nearest cache has them
constexpr uint64_t kTransposedRows = 32;   // at once: what lies together in a transposed matrix

// As used_significand_bits(), but looks no further than to the first values that use all bits.
int used_bits(const MatrixView& view) {
  constexpr int kAll = 23;
  constexpr size_t kBytes = size_t{1} << 12;
  if (view.dtype != kFloat32) return used_significand_bits(view);
  int used = 0;
  for (size_t at = 0; at < view.bytes.size() && used < kAll; at += kBytes) {
    MatrixView part = view;
    part.bytes = view.bytes.subspan(at, std::min(kBytes, view.bytes.size() - at));
    used = std::max(used, used_significand_bits(part));
  }
  return used;
}

}  // namespace

double Survey::unevenness() const {
  const double even = std::sqrt(noise_both * static_cast<double>(changed_cols)) +
                      std::sqrt(noise_both * static_cast<double>(changed_rows));
  const double uneven = std::sqrt(largest_row_noise) + std::sqrt(largest_col_noise);
  return even == 0 ? 1 : std::max(1.0, uneven / even);
}

Delta::Delta(const MatrixView& a, const MatrixView& b)
    : a_(a),
      b_(b),
      panel_rows_(std::clamp<uint64_t>(kPanelBytes / sizeof(double) / a.cols, kFewestPanelRows,
                                       std::max(kFewestPanelRows, a.rows))),
      by_columns_(a.transposed && b.transposed) {
  panel_rows_ = std::min(panel_rows_, a.rows);
  panel_.resize(panel_rows_ * a.cols);
}

void Delta::read_panel(uint64_t first, uint64_t count) {
  if (by_columns_) {
    for (uint64_t col = 0; col < cols(); ++col) {
      subtract_elements(a_, b_, col * rows() + first, count, panel_.data() + col * count);
    }
  } else if (!a_.transposed && !b_.transposed) {
    subtract_elements(a_, b_, first * cols(), count * cols(), panel_.data());
  } else {
    scratch_.resize(count * cols());
    read_rows(a_, first, count, scratch_.data());
    read_rows(b_, first, count, panel_.data());
    for (uint64_t i = 0; i < count * cols(); ++i) panel_[i] -= scratch_[i];
  }
}

// Calls use(first, count) with rows [first, first + count) in panel_.
template <typename Use>
void Delta::for_each_panel(const Use& use) {
  for (uint64_t first = 0; first < rows(); first += panel_rows_) {
    const uint64_t count = std::min(panel_rows_, rows() - first);
    read_panel(first, count);
    use(static_cast<size_t>(first), static_cast<size_t>(count));
  }
}

// Adds `index`, the next one after those in `runs`. One more than kMostRuns stays as a sign that
// there are too many.
void add_index(std::vector<IndexRun>& runs, uint64_t index) {
  if (!runs.empty() && runs.back().last + 1 == index) {
    runs.back().last = index;
  } else if (runs.size() <= kMostRuns) {
    runs.push_back({index, index});
  }
}

// Leaves runs that say something: some of `count`, in few blocks.
void keep_telling(std::vector<IndexRun>& runs, uint64_t count) {
  if (runs.size() > kMostRuns || runs == std::vector<IndexRun>{{0, count - 1}}) runs.clear();
}

struct Delta::NoiseSums {
  NoiseAt at_a, at_b;
  RowNoise sum;
  std::vector<double> in_cols;
  std::vector<double> changes;  // squares, by column
  bool all_changed = false;
};

// Adds a row to `survey`, which does not know yet how many it will be.
void Delta::add_row(uint64_t row, const double* base, const double* delta, Survey& survey,
                    NoiseSums& sums) const {
  const double square = square_of(delta, cols());
  survey.base_square += square_of(base, cols());
  if (square == 0) return;  // NaN is not
  survey.square += square;
  ++survey.changed_rows;
  add_index(survey.row_runs, row);
  const RowNoise noise = add_noise(base, delta, cols(), sums.at_a, sums.at_b, sums.in_cols.data());
  sums.sum.of_a += noise.of_a;
  sums.sum.of_b += noise.of_b;
  survey.largest_row_noise = std::max(survey.largest_row_noise, noise.of_a + noise.of_b);
  if (sums.all_changed) return;
  for (size_t col = 0; col < cols(); ++col) sums.changes[col] += delta[col] * delta[col];
  sums.all_changed = std::find(sums.changes.begin(), sums.changes.end(), 0.0) == sums.changes.end();
}

Survey Delta::survey() {
  Survey survey;
  const int bits = std::min(used_bits(a_), used_bits(b_));
  NoiseSums sums{NoiseAt(RoundingNoise(bits, a_.dtype)),
                 NoiseAt(RoundingNoise(bits, b_.dtype)),
                 {},
                 std::vector<double>(cols()),
                 std::vector<double>(cols())};
  const bool transposed = a_.transposed || b_.transposed;
  const uint64_t piece =
      transposed ? kTransposedRows : std::max<uint64_t>(1, kPieceElements / cols());
  std::vector<double> base(piece * cols()), delta(piece * cols());
  for (uint64_t first = 0; first < rows(); first += piece) {
    const uint64_t count = std::min(piece, rows() - first);
    if (transposed) {
      read_rows(a_, first, count, base.data());
      read_rows(b_, first, count, delta.data());
      for (size_t i = 0; i < count * cols(); ++i) delta[i] -= base[i];
    } else {
      read_rows(a_, first, count, base.data());
      subtract_elements(a_, b_, first * cols(), count * cols(), delta.data());
    }
    for (size_t row = 0; row < count; ++row) {
      add_row(first + row, base.data() + row * cols(), delta.data() + row * cols(), survey, sums);
    }
  }
  survey.changed_cols =
      cols() - static_cast<uint64_t>(std::count(sums.changes.begin(), sums.changes.end(), 0.0));
  for (uint64_t col = 0; col < cols(); ++col) {
    if (sums.changes[col] != 0) add_index(survey.col_runs, col);
  }
  keep_telling(survey.row_runs, rows());
  keep_telling(survey.col_runs, cols());
  const double elements = static_cast<double>(survey.changed_rows) * static_cast<double>(cols());
  if (elements == 0) return survey;
  survey.noise_one = std::max(sums.sum.of_a, sums.sum.of_b) / elements;
  survey.noise_both = (sums.sum.of_a + sums.sum.of_b) / elements;
  survey.largest_col_noise = *std::max_element(sums.in_cols.begin(), sums.in_cols.end());
  return survey;
}

// product [count, width], columns `step` apart, = the panel's rows of D · x
void Delta::multiply(const double* x, size_t width, size_t count, double* product,
                     size_t step) const {
  const size_t n = cols();
  blas::gemm(by_columns_ ? Op::kPlain : Op::kTransposed, Op::kPlain, count, width, n, 1,
             panel_.data(), by_columns_ ? count : n, x, n, 0, product, step);
}

// product [cols, width] += (the panel's rows of D)^T · y, of which columns are `step` apart
void Delta::multiply_transposed(const double* y, size_t step, size_t width, size_t count,
                                double* product) const {
  const size_t n = cols();
  blas::gemm(by_columns_ ? Op::kTransposed : Op::kPlain, Op::kPlain, n, width, count, 1,
             panel_.data(), by_columns_ ? count : n, y, step, 1, product, n);
}

std::vector<double> Delta::times(const std::vector<double>& x, size_t width) {
  std::vector<double> product(rows() * width);
  for_each_panel([&](size_t first, size_t count) {
    multiply(x.data(), width, count, product.data() + first, rows());
  });
  return product;
}

std::vector<double> Delta::transposed_times(const std::vector<double>& y, size_t width) {
  std::vector<double> product(cols() * width);
  for_each_panel([&](size_t first, size_t count) {
    multiply_transposed(y.data() + first, rows(), width, count, product.data());
  });
  return product;
}

std::vector<double> Delta::normal_times(const std::vector<double>& x, size_t width) {
  std::vector<double> product(cols() * width), part(panel_rows_ * width);
  for_each_panel([&](size_t, size_t count) {
    multiply(x.data(), width, count, part.data(), panel_rows_);
    multiply_transposed(part.data(), panel_rows_, width, count, product.data());
  });
  return product;
}

Rest Delta::rest_after(const Directions& directions) {
  Rest rest;
  const size_t n = cols(), width = directions.count;
  for_each_panel([&](size_t first, size_t count) {
    const double* left = directions.left.data() + first * width;
    const double* right = directions.right.data();
    if (width != 0 && by_columns_) {
      blas::gemm(Op::kTransposed, Op::kTransposed, count, n, width, -1, left, width, right, n, 1,
                 panel_.data(), count);
    } else if (width != 0) {
      blas::gemm(Op::kPlain, Op::kPlain, n, count, width, -1, right, n, left, width, 1,
                 panel_.data(), n);
    }
    add_to(rest, panel_.data(), count * n);
  });
  return rest;
}

}  // namespace wshare
