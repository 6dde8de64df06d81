#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "compare/matrix.h"

namespace wshare {

// One look at all of b - a.
struct Survey {
  double square = 0;       // ||b - a||^2, Frobenius
  double base_square = 0;  // ||a||^2
  uint64_t changed_rows = 0, changed_cols = 0;

  // Mean squares of the roundings of the elements in changed rows, from the spacing of their type.
  double noise_one = 0;                                 // of the coarser of the two tensors
  double noise_both = 0;                                // of both, added
  double largest_row_noise = 0, largest_col_noise = 0;  // sums over one row, one column; of both

  // How much higher noise may reach than noise of the same size in all elements; at least 1.
  double unevenness() const;
};

// What a low-rank matrix leaves of b - a.
struct Rest {
  double square = 0;
  double max_abs = 0;
};

// b - a as far as it lies in a space of few directions V, and what that leaves.
struct Projection {
  std::vector<double> product;  // D V [rows, rank], row by row
  Rest rest;
};

// The matrix b - a [rows, cols], rows >= cols, formed some rows at a time from the mapped tensors
// and never held as a whole.
class Delta {
 public:
  Delta(const MatrixView& a, const MatrixView& b);

  uint64_t rows() const { return a_.rows; }
  uint64_t cols() const { return a_.cols; }

  Survey survey();

  // Writes orthogonal projection: z = D^T D x for x [cols, width], and the triangle of D x. All
  // matrices are column-major; `z` and `triangle` [width, width] are overwritten.
  void multiply(const std::vector<double>& x, size_t width, std::vector<double>& z,
                std::vector<double>& triangle);

  // Returns D V and what D (I - V V^T) holds, for orthonormal `v` [cols, rank], column-major.
  Projection project(const std::vector<double>& v, size_t rank);

  // The same without D V, which is as tall as the matrix.
  Rest rest_after(const std::vector<double>& v, size_t rank);

 private:
  struct NoiseSums;
  void add_row(size_t row, Survey& survey, NoiseSums& sums) const;
  Rest split(const std::vector<double>& v, size_t rank, double* product);
  template <typename Use>
  void for_each_panel(const Use& use);

  MatrixView a_, b_;
  uint64_t panel_rows_;
  std::vector<double> base_, panel_;  // rows of a and of b - a
};

// Leading singular values and right vectors of a Delta, by subspace iteration from seeded random
// columns.
//
// Source: Halko, Martinsson, Tropp 2011, "Finding structure with randomness", algorithm 4.4. The
// values come from a QR of D Q row panel by row panel, not from a Gram matrix, whose squares would
// lose what is 1e-8 of the largest.
class Sketch {
 public:
  // width <= delta.cols()
  Sketch(Delta& delta, size_t width);

  // Reads the matrix once: the values get better with each sweep.
  void sweep();

  // Adds random columns up to `width`.
  void widen(size_t width);

  size_t width() const { return width_; }

  // The `width` leading singular values, falling. They are at most the true ones.
  const std::vector<double>& values() const { return values_; }

  // The orthonormal columns that the values come from, [cols, width], column-major.
  const std::vector<double>& basis() const { return basis_; }

  // The first `count` right singular vectors, [cols, count], column-major.
  std::vector<double> right_vectors(size_t count) const;

 private:
  void fill_random(size_t first_column);
  void orthonormalize();

  Delta& delta_;
  size_t width_;
  std::vector<double> basis_;  // [cols, width], what the last sweep used
  std::vector<double> next_;   // D^T D basis_: becomes the next basis
  std::vector<double> values_;
  std::vector<double> rotation_;  // V^T of the last triangle [width, width]
};

}  // namespace wshare
