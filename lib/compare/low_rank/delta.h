#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "compare/elements.h"
#include "compare/low_rank/low_rank.h"
#include "compare/low_rank/matrix.h"

namespace wshare {

// One look at all of b - a.
struct Survey {
  double square = 0;       // ||b - a||^2, Frobenius
  double base_square = 0;  // ||a||^2
  uint64_t changed_rows = 0, changed_cols = 0;
  std::vector<IndexRun> row_runs, col_runs;  // of those, if they are few; else empty

  // Mean squares of the roundings of the elements in changed rows, from the spacing of their type.
  double noise_one = 0;                                 // of the coarser of the two tensors
  double noise_both = 0;                                // of both, added
  double largest_row_noise = 0, largest_col_noise = 0;  // sums over one row, one column; of both

  // How much higher noise may reach than noise of the same size in all elements; at least 1.
  double unevenness() const;
};

// Some directions of b - a = D: orthonormal V and where D takes them.
struct Directions {
  size_t count = 0;
  std::vector<double> left;   // D V [rows, count], row by row
  std::vector<double> right;  // V [cols, count], column by column
};

// The matrix b - a [rows, cols], rows >= cols, formed some rows at a time from the mapped tensors
// and never held as a whole.
class Delta {
 public:
  Delta(const MatrixView& a, const MatrixView& b);

  uint64_t rows() const { return a_.rows; }
  uint64_t cols() const { return a_.cols; }

  Survey survey();

  // Products with matrices of `width` columns, column-major as their results. Each reads D once.
  std::vector<double> times(const std::vector<double>& x, size_t width);             // D x
  std::vector<double> transposed_times(const std::vector<double>& y, size_t width);  // D^T y
  std::vector<double> normal_times(const std::vector<double>& x, size_t width);      // D^T D x

  // Returns what D - D V V^T holds.
  Rest rest_after(const Directions& directions);

 private:
  struct NoiseSums;
  void add_row(uint64_t row, const double* base, const double* delta, Survey& survey,
               NoiseSums& sums) const;
  void read_panel(uint64_t first, uint64_t count);
  template <typename Use>
  void for_each_panel(const Use& use);
  void multiply(const double* x, size_t width, size_t count, double* product, size_t step) const;
  void multiply_transposed(const double* y, size_t step, size_t width, size_t count,
                           double* product) const;

  MatrixView a_, b_;
  uint64_t panel_rows_;
  std::vector<double> panel_;    // some rows of b - a, row by row
  bool by_columns_;              // or column by column, where both are stored so
  std::vector<double> scratch_;  // of read_panel()
};

}  // namespace wshare
