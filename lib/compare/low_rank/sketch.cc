#include "compare/low_rank/sketch.h"

#include <algorithm>

#include "compare/low_rank/blas.h"

namespace wshare {
namespace {

using blas::Op;

// splitmix64, a counter-based generator: the same columns for every run and thread.
// Source: Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators".
double random_sign(uint64_t counter) {
  uint64_t bits = (counter + 1) * 0x9e3779b97f4a7c15;
  bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9;
  bits = (bits ^ (bits >> 27)) * 0x94d049bb133111eb;
  return ((bits ^ (bits >> 31)) & 1) != 0 ? 1 : -1;
}

}  // namespace

Sketch::Sketch(Delta& delta, size_t width) : delta_(delta), width_(width) {
  basis_.resize(delta.cols() * width);
  fill_random(0);
  // One product with D^T D turns the random columns towards the leading vectors.
  next_ = delta_.normal_times(basis_, width_);
}

void Sketch::fill_random(size_t first_column) {
  for (size_t i = first_column * delta_.cols(); i < basis_.size(); ++i) basis_[i] = random_sign(i);
}

void Sketch::sweep() {
  // Often one sweep is enough, so what the next one needs is computed only when it comes.
  basis_ = next_.empty() ? delta_.transposed_times(product_, width_) : std::move(next_);
  next_.clear();
  std::vector<double> tau;
  blas::qr(delta_.cols(), width_, basis_.data(), delta_.cols(), tau);
  blas::form_q(delta_.cols(), width_, basis_.data(), delta_.cols(), tau);
  product_ = delta_.times(basis_, width_);
  std::vector<double> reduced = product_;
  blas::qr(delta_.rows(), width_, reduced.data(), delta_.rows(), tau);
  std::vector<double> triangle(width_ * width_);
  for (size_t col = 0; col < width_; ++col) {
    std::copy_n(reduced.data() + col * delta_.rows(), col + 1, triangle.data() + col * width_);
  }
  blas::svd(width_, triangle, values_, rotation_);
}

void Sketch::widen(size_t width) {
  const size_t old = width_;
  next_ = delta_.transposed_times(product_, old);
  width_ = width;
  basis_.resize(delta_.cols() * width);
  fill_random(old);
  // The columns found so far stay; the new ones are turned like the first ones were.
  const std::vector<double> added(basis_.begin() + static_cast<std::ptrdiff_t>(old * delta_.cols()),
                                  basis_.end());
  const std::vector<double> turned = delta_.normal_times(added, width - old);
  next_.insert(next_.end(), turned.begin(), turned.end());
}

Directions Sketch::leading(size_t count) const {
  const size_t n = delta_.cols(), m = delta_.rows();
  Directions directions{count, std::vector<double>(m * count), std::vector<double>(n * count)};
  if (count == 0) return directions;
  // rotation_ holds V^T of the triangle: its first `count` rows, transposed, turn the basis.
  blas::gemm(Op::kPlain, Op::kTransposed, n, count, width_, 1, basis_.data(), n, rotation_.data(),
             width_, 0, directions.right.data(), n);
  blas::gemm(Op::kPlain, Op::kTransposed, count, m, width_, 1, rotation_.data(), width_,
             product_.data(), m, 0, directions.left.data(), count);
  return directions;
}

}  // namespace wshare
