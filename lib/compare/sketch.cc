#include "compare/sketch.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <span>

#include "compare/blas.h"

namespace wshare {
namespace {

using blas::Op;

constexpr size_t kPanelBytes = size_t{2} << 20;
constexpr uint64_t kFewestPanelRows = 64;

// Adds up in lanes, which become vector instructions.
void add_to(Rest& rest, std::span<const double> values) {
  constexpr size_t kLanes = 8;
  double squares[kLanes] = {}, largest[kLanes] = {};
  size_t i = 0;
  for (; i + kLanes <= values.size(); i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) {
      const double size = std::abs(values[i + lane]);
      squares[lane] += size * size;
      largest[lane] = size > largest[lane] ? size : largest[lane];
    }
  }
  for (; i < values.size(); ++i) {
    squares[0] += values[i] * values[i];
    largest[0] = std::max(largest[0], std::abs(values[i]));
  }
  rest.square += std::accumulate(squares, squares + kLanes, 0.0);
  rest.max_abs = std::max(rest.max_abs, *std::max_element(largest, largest + kLanes));
}

// splitmix64, a counter-based generator: the same columns for every run and thread.
// Source: Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators".
double random_sign(uint64_t counter) {
  uint64_t bits = (counter + 1) * 0x9e3779b97f4a7c15;
  bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9;
  bits = (bits ^ (bits >> 27)) * 0x94d049bb133111eb;
  return ((bits ^ (bits >> 31)) & 1) != 0 ? 1 : -1;
}

}  // namespace

Delta::Delta(const MatrixView& a, const MatrixView& b)
    : a_(a),
      b_(b),
      panel_rows_(std::clamp<uint64_t>(kPanelBytes / sizeof(double) / a.cols, kFewestPanelRows,
                                       std::max(kFewestPanelRows, a.rows))) {
  panel_rows_ = std::min(panel_rows_, a.rows);
  base_.resize(panel_rows_ * a.cols);
  panel_.resize(panel_rows_ * a.cols);
}

// Calls use(rows) with `rows` rows in panel_, and in base_ the same rows of a.
template <typename Use>
void Delta::for_each_panel(const Use& use) {
  for (uint64_t first = 0; first < rows(); first += panel_rows_) {
    const uint64_t count = std::min(panel_rows_, rows() - first);
    read_rows(a_, first, count, base_.data());
    read_rows(b_, first, count, panel_.data());
    for (size_t i = 0; i < count * cols(); ++i) panel_[i] -= base_[i];
    use(static_cast<size_t>(count));
  }
}

double Survey::unevenness() const {
  const double even = std::sqrt(noise_both * static_cast<double>(changed_cols)) +
                      std::sqrt(noise_both * static_cast<double>(changed_rows));
  const double uneven = std::sqrt(largest_row_noise) + std::sqrt(largest_col_noise);
  return even == 0 ? 1 : std::max(1.0, uneven / even);
}

struct Delta::NoiseSums {
  RoundingNoise of_a, of_b;
  double a = 0, b = 0;
  std::vector<double> cols;
  std::vector<bool> changed;
};

// Adds row `row` of the panel to `survey`, which does not know yet how many it will be.
void Delta::add_row(size_t row, Survey& survey, NoiseSums& sums) const {
  const double* delta = panel_.data() + row * cols();
  const double* base = base_.data() + row * cols();
  double square = 0;
  for (size_t col = 0; col < cols(); ++col) {
    square += delta[col] * delta[col];
    survey.base_square += base[col] * base[col];
  }
  if (square == 0) return;  // NaN is not
  survey.square += square;
  ++survey.changed_rows;
  double noise_a = 0, noise_b = 0;
  for (size_t col = 0; col < cols(); ++col) {
    const double of_a = sums.of_a.square_at(base[col]);
    const double of_b = sums.of_b.square_at(base[col] + delta[col]);
    noise_a += of_a;
    noise_b += of_b;
    sums.cols[col] += of_a + of_b;
    if (delta[col] != 0) sums.changed[col] = true;
  }
  sums.a += noise_a;
  sums.b += noise_b;
  survey.largest_row_noise = std::max(survey.largest_row_noise, noise_a + noise_b);
}

Survey Delta::survey() {
  Survey survey;
  const int bits = std::min(used_significand_bits(a_), used_significand_bits(b_));
  NoiseSums sums{RoundingNoise(bits, a_.dtype), RoundingNoise(bits, b_.dtype), 0, 0, {}, {}};
  sums.cols.resize(cols());
  sums.changed.resize(cols());
  for_each_panel([&](size_t count) {
    for (size_t row = 0; row < count; ++row) add_row(row, survey, sums);
  });
  survey.changed_cols =
      static_cast<uint64_t>(std::count(sums.changed.begin(), sums.changed.end(), true));
  const double elements = static_cast<double>(survey.changed_rows) * static_cast<double>(cols());
  if (elements == 0) return survey;
  survey.noise_one = std::max(sums.a, sums.b) / elements;
  survey.noise_both = (sums.a + sums.b) / elements;
  survey.largest_col_noise = *std::max_element(sums.cols.begin(), sums.cols.end());
  return survey;
}

void Delta::multiply(const std::vector<double>& x, size_t width, std::vector<double>& z,
                     std::vector<double>& triangle) {
  const size_t n = cols();
  z.assign(n * width, 0);
  triangle.assign(width * width, 0);
  // The triangle so far lies above the new rows of D x; one QR folds them into it.
  const size_t height = width + panel_rows_;
  std::vector<double> stack(height * width), tau;
  for_each_panel([&](size_t count) {
    for (size_t col = 0; col < width; ++col) {
      std::copy_n(triangle.data() + col * width, width, stack.data() + col * height);
    }
    double* product = stack.data() + width;
    blas::gemm(Op::kTransposed, Op::kPlain, count, width, n, 1, panel_.data(), n, x.data(), n, 0,
               product, height);
    blas::gemm(Op::kPlain, Op::kPlain, n, width, count, 1, panel_.data(), n, product, height, 1,
               z.data(), n);
    blas::qr(width + count, width, stack.data(), height, tau);
    for (size_t col = 0; col < width; ++col) {
      std::copy_n(stack.data() + col * height, col + 1, triangle.data() + col * width);
    }
  });
}

// Writes D V to `product`, where that is not null.
Rest Delta::split(const std::vector<double>& v, size_t rank, double* product) {
  Rest rest;
  const size_t n = cols();
  std::vector<double> unkept(product == nullptr ? panel_rows_ * rank : 0);
  double* rows = product == nullptr ? unkept.data() : product;
  for_each_panel([&](size_t count) {
    if (rank != 0) {
      blas::gemm(Op::kTransposed, Op::kPlain, rank, count, n, 1, v.data(), n, panel_.data(), n, 0,
                 rows, rank);
      blas::gemm(Op::kPlain, Op::kPlain, n, count, rank, -1, v.data(), n, rows, rank, 1,
                 panel_.data(), n);
      if (product != nullptr) rows += count * rank;
    }
    add_to(rest, std::span(panel_).first(count * n));
  });
  return rest;
}

Projection Delta::project(const std::vector<double>& v, size_t rank) {
  Projection projection;
  projection.product.resize(rows() * rank);
  projection.rest = split(v, rank, projection.product.data());
  return projection;
}

Rest Delta::rest_after(const std::vector<double>& v, size_t rank) {
  return split(v, rank, nullptr);
}

Sketch::Sketch(Delta& delta, size_t width) : delta_(delta), width_(width) {
  basis_.resize(delta.cols() * width);
  fill_random(0);
  // One product with D^T D turns the random columns towards the leading vectors.
  std::vector<double> unused;
  delta_.multiply(basis_, width_, next_, unused);
}

void Sketch::fill_random(size_t first_column) {
  for (size_t i = first_column * delta_.cols(); i < basis_.size(); ++i) basis_[i] = random_sign(i);
}

void Sketch::orthonormalize() {
  const size_t n = delta_.cols();
  std::vector<double> tau;
  blas::qr(n, width_, basis_.data(), n, tau);
  blas::form_q(n, width_, basis_.data(), n, tau);
}

void Sketch::sweep() {
  std::swap(basis_, next_);
  orthonormalize();
  std::vector<double> triangle;
  delta_.multiply(basis_, width_, next_, triangle);
  blas::svd(width_, triangle, values_, rotation_);
}

void Sketch::widen(size_t width) {
  const size_t old = width_;
  width_ = width;
  basis_.resize(delta_.cols() * width);
  fill_random(old);
  // The columns found so far stay; the new ones are turned like the first ones were.
  std::vector<double> unused, turned;
  const std::vector<double> added(basis_.begin() + static_cast<std::ptrdiff_t>(old * delta_.cols()),
                                  basis_.end());
  delta_.multiply(added, width - old, turned, unused);
  next_.insert(next_.end(), turned.begin(), turned.end());
}

std::vector<double> Sketch::right_vectors(size_t count) const {
  const size_t n = delta_.cols();
  std::vector<double> vectors(n * count);
  if (count == 0) return vectors;
  // rotation_ holds V^T: its first `count` rows, transposed, turn the basis.
  blas::gemm(Op::kPlain, Op::kTransposed, n, count, width_, 1, basis_.data(), n, rotation_.data(),
             width_, 0, vectors.data(), n);
  return vectors;
}

}  // namespace wshare
