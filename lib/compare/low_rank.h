#pragma once

#include <cstdint>

#include "compare/matrix.h"

namespace wshare {

// What the difference of two matrices is.
enum class DeltaKind {
  kLowRank,       // B·A plus rounding
  kFullRank,      // anything else
  kRoundingOnly,  // no larger than the rounding of the two tensors
  kFewRows,       // so few rows or columns changed that its rank says nothing
  kNotFinite,     // one of the tensors holds NaN or infinity
};

struct DeltaReport {
  DeltaKind kind = DeltaKind::kFullRank;
  uint64_t rows = 0, cols = 0;
  uint64_t changed_rows = 0, changed_cols = 0;
  double relative_change = 0;  // ||b - a|| / ||a||, Frobenius

  // Of kLowRank only: what is left when the best matrix of `rank` is taken from b - a.
  int64_t rank = 0;
  int64_t rank_by_rounding = 0;  // what the size of the roundings alone would say
  double relative_error = 0;     // ||rest|| / ||b - a||, Frobenius
  double max_abs_error = 0;
  double energy = 0;  // share of ||b - a||^2 in the first `rank` singular values
};

struct DeltaOptions {
  int64_t max_rank = 256;
  bool svd = true;  // false: find out all but the rank; never kLowRank
};

// Returns what b - a is. The matrices have equal rows and cols; their bytes are read as they lie.
//
// The result depends on the matrices only. Needs memory for about (rows + cols) x max_rank doubles
// at most, never for the matrix. BLAS should run on one thread (blas::SingleThreaded).
DeltaReport analyze_delta(const MatrixView& a, const MatrixView& b, const DeltaOptions& options);

}  // namespace wshare
