#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "compare/low_rank/matrix.h"

namespace wshare {

// What the difference of two matrices is.
enum class DeltaKind {
  kLowRank,       // B·A plus rounding
  kFullRank,      // anything else
  kRoundingOnly,  // no larger than the rounding of the two tensors
  kFewRows,       // so few rows or columns changed that its rank says nothing
  kNotFinite,     // one of the tensors holds NaN or infinity
};

// Rows or columns one after the other: first .. last.
struct IndexRun {
  uint64_t first = 0, last = 0;
  bool operator==(const IndexRun&) const = default;
};

struct DeltaReport {
  DeltaKind kind = DeltaKind::kFullRank;
  uint64_t rows = 0, cols = 0;
  uint64_t changed_rows = 0, changed_cols = 0;
  // The changed ones where they are some but not all, in at most kMostRuns blocks; else empty. Of a
  // fused QKV weight of which Q and V were trained: two.
  std::vector<IndexRun> row_runs, col_runs;
  double relative_change = 0;  // ||b - a|| / ||a||, Frobenius

  // Of kLowRank only: what is left when the best matrix of `rank` is taken from b - a.
  int64_t rank = 0;
  int64_t rank_by_rounding = 0;  // what the size of the roundings alone would say
  double relative_error = 0;     // ||rest|| / ||b - a||, Frobenius
  double max_abs_error = 0;
  double energy = 0;                    // share of ||b - a||^2 in the first `rank` singular values
  std::vector<double> singular_values;  // the leading ones, falling: `rank` and a few more
  double noise_edge = 0;                // roundings have no larger ones
};

// The best approximation of b - a of its rank, left · right, balanced: each takes the square root
// of the singular values.
struct LowRankFactors {
  uint64_t rows = 0, cols = 0, rank = 0;  // of b - a
  std::vector<double> left;               // [rows, rank], row-major
  std::vector<double> right;              // [rank, cols], row-major
  std::vector<double> values;             // as DeltaReport::singular_values
  double edge = 0;                        // as DeltaReport::noise_edge
};

inline constexpr size_t kMostRuns = 4;

struct DeltaAnalysis {
  DeltaReport report;
  LowRankFactors factors;  // of kLowRank; else empty
};

// How the rank is chosen. A rank is taken only where its factors are smaller than what changed.
struct DeltaOptions {
  int64_t max_rank = 256;
  bool svd = true;  // false: find out all but the rank; never kLowRank

  // 0: the rank is where roundings begin. N: exactly N, whatever max_rank is and whatever it
  // leaves, but for kRoundingOnly and kFewRows.
  int64_t fixed_rank = 0;

  // 0: what is left must be as small as roundings. Else the smallest rank that leaves a
  // relative_error of at most this, of any b - a; with fixed_rank only if that rank does.
  double tolerance = 0;
};

// Returns what b - a is. The matrices have equal rows and cols; their bytes are read as they lie.
//
// The result depends on the matrices only. Needs memory for about (rows + cols) x (the largest
// rank) doubles at most, never for the matrix. BLAS should run on one thread
// (blas::SingleThreaded).
DeltaAnalysis analyze_delta(const MatrixView& a, const MatrixView& b, const DeltaOptions& options);

}  // namespace wshare
