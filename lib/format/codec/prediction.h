#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "format/matrix.h"

namespace wshare {

// How a matrix follows from others: element (i, j) is
//
//   round(multiplier * base(i, j) + left(i, 0) * right(0, j) + left(i, 1) * right(1, j) + ...)
//
// in double, each product and each sum rounded on its own, from left to right; then rounded to
// `dtype`. Without a base the first term is +0. The bits are the same on every machine.
// Source: docs/bundle-format.md, "Derived tensors".
//
// So it is a merged LoRA; without factors, the transpose of a tensor, its cast, or its multiple.
struct Prediction {
  int32_t dtype = 0;
  uint64_t rows = 0, cols = 0;  // of the result, which is stored row by row
  std::optional<MatrixView> base;
  double multiplier = 1;                  // of base
  std::optional<MatrixView> left, right;  // [rows, rank] and [rank, cols]; both or none
};

// Returns the size in bytes of what `prediction` predicts.
//
// Throws Error(kInvalid) if it contradicts itself: a type that is no float, factors that do not fit
// each other or the result, a multiplier that is not finite, bytes that are not those of a shape.
uint64_t check_prediction(const Prediction& prediction);

// Returns whether all bits are those of the base: a base of the same type, not multiplied, and no
// factors.
bool is_copy(const Prediction& prediction);

// Elements that lie one after the other: some whole rows, or a part of one row.
using Stretch = Block;

// Cuts a matrix into stretches of about 1 MiB, in order; where rows are wider than 64 KiB into 16
// rows, up to 8 MiB, since a transposed base is read fastest by several rows.
class Stretches {
 public:
  Stretches(uint64_t rows, uint64_t cols, size_t element_size);

  // Returns the next one, or nothing at the end of the matrix.
  std::optional<Stretch> next();

  // Of the largest stretch.
  size_t size_bytes() const { return size_bytes_; }

 private:
  uint64_t rows_, cols_;
  uint64_t piece_rows_ = 0, piece_cols_ = 0;
  uint64_t row_ = 0, col_ = 0;
  size_t size_bytes_ = 0;
};

// A part of the predicted matrix in double. Rows are `stride` values apart in both arrays.
struct PredictedTile {
  Block block;
  size_t stride;
  const double* scaled_base;  // multiplier * base
  const double* sums;         // before they are rounded
};

// Predicts part after part, in working memory of half a MiB.
class Predictor {
 public:
  // Borrows the bytes of the views in `prediction`. Throws as check_prediction().
  explicit Predictor(const Prediction& prediction);

  // Calls `use` with the tiles that make up `block`, which must lie in the matrix.
  void for_each_tile(const Block& block, const std::function<void(const PredictedTile&)>& use);

  // Writes the elements of `stretch` to `out`.
  void predict(const Stretch& stretch, std::byte* out);

  // Calls use(tile, row of the tile, where it begins) for the rows of tiles that make up `count`
  // elements from number `first` on, in the order they are stored. Where: elements behind `first`.
  void for_each_row(uint64_t first, uint64_t count,
                    const std::function<void(const PredictedTile&, uint64_t, size_t)>& use);

  // Writes `count` elements from number `first` on to `out`: bits of the base where is_copy().
  void predict_elements(uint64_t first, uint64_t count, std::byte* out);

 private:
  void allocate();
  void start_tile(const Block& tile, size_t stride);
  void add_products(const Block& tile, size_t stride);

  Prediction prediction_;
  std::vector<double> start_, sums_, left_, right_;
};

}  // namespace wshare
