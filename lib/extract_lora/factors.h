#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>

#include "compare/low_rank/low_rank.h"
#include "format/codec/prediction.h"
#include "format/codec/residual.h"
#include "format/matrix.h"
#include "lora/branch_site.h"
#include "util/scratch.h"

namespace wshare {

// Memory that several threads take pieces of; all of them live as long as it. Anonymous memory for
// the first MiB, then temporary files, also for small pieces: a task has hundreds of them.
class SharedScratch {
 public:
  // Returns `size` writable zero bytes. Throws as Scratch.
  std::span<std::byte> allocate(size_t size);

 private:
  std::mutex mutex_;
  Scratch scratch_;
  size_t small_bytes_ = 0;          // handed out from anonymous memory
  std::span<std::byte> remainder_;  // of a piece of a file
};

struct FactorViews {
  MatrixView left, right;
};

// The factors of one weight as an adapter holds them, of the weight's float type.
//
// In the layout of the base's tensor, seen as a matrix [rows, cols], what they add is left · right,
// [rows, rank] and [rank, cols]; a and b are these, turned as the site wants them.
struct StoredFactors {
  FactorLayout layout{};
  int32_t dtype = 0;
  uint64_t rows = 0, cols = 0, rank = 0;
  std::span<const std::byte> a, b;

  // Left and right, or, where the task stores the transpose of the base's tensor, those of that.
  FactorViews views(bool transposed) const;

 private:
  MatrixView left() const;
  MatrixView right() const;
};

// Returns `factors` rounded to `dtype`, in memory of `scratch`.
StoredFactors store_factors(const LowRankFactors& factors, FactorLayout layout, int32_t dtype,
                            SharedScratch& scratch);

struct CodedResidual {
  ResidualReport report;
  std::span<const std::byte> bytes;  // in scratch; empty if not kept, or nothing is to be coded
};

// Compares `actual` with `prediction`, and keeps what makes it exact in `scratch` if `keep` says
// so.
CodedResidual code_residual(const Prediction& prediction, std::span<const std::byte> actual,
                            bool keep, SharedScratch& scratch);

// Writes `view` to `out`, row by row, each element multiplied by `scaling` and rounded once to its
// own type.
void copy_matrix(const MatrixView& view, double scaling, std::span<std::byte> out);

}  // namespace wshare
