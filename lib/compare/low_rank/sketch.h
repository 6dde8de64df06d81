#pragma once

#include <cstddef>
#include <vector>

#include "compare/low_rank/delta.h"

namespace wshare {

// Leading singular values and vectors of a Delta, by subspace iteration from seeded random columns.
//
// Source: Halko, Martinsson, Tropp 2011, "Finding structure with randomness", algorithm 4.4. The
// values come from a QR of D Q, not from a Gram matrix, whose squares would lose what is 1e-8 of
// the largest.
class Sketch {
 public:
  // width <= delta.cols()
  Sketch(Delta& delta, size_t width);

  // The values get better with each sweep. Reads the matrix once, from the second time on twice.
  void sweep();

  // Adds random columns up to `width`.
  void widen(size_t width);

  size_t width() const { return width_; }

  // The `width` leading singular values, falling. They are at most the true ones.
  const std::vector<double>& values() const { return values_; }

  // The first `count` of the singular directions.
  Directions leading(size_t count) const;

 private:
  void fill_random(size_t first_column);

  Delta& delta_;
  size_t width_;
  std::vector<double> basis_;    // [cols, width]
  std::vector<double> next_;     // D^T D basis_, if known: becomes the next basis
  std::vector<double> product_;  // D basis_ [rows, width]
  std::vector<double> values_;
  std::vector<double> rotation_;  // [width, width]: basis_ times its transpose is V
};

}  // namespace wshare
