// Predicts a matrix from a base and two thin factors, with the same bits on every machine.
//
// Floating-point addition is not associative, so the order is part of the format: the scaled base
// first, then the products by ascending k. Different elements do not depend on each other, so the
// work is vectorised over columns, which keeps the order within each of them. This file is compiled
// without contraction: a fused multiply-add would not matter for factors of up to 32 bits, whose
// products double holds exactly (24 + 24 bits, exponents far inside), but for float64 factors and
// for multiplier * base it would save a rounding, on machines that have it.
//
// Tiles of 32 rows and 512 columns, and 32 columns of `left` with as many rows of `right` at a
// time, are converted to double once and stay in the second cache: 128 KiB each for tile and panel.
// Sums stay in double from panel to panel, so the panels do not show in the result.
#include "format/codec/prediction.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstring>
#include <string>

#include "format/codec/vector_clones.h"
#include "wshare/error.h"

namespace wshare {
namespace {

static_assert(FLT_EVAL_METHOD == 0, "intermediate results must be rounded to double");

constexpr uint64_t kTileRows = 32;
constexpr uint64_t kTileCols = 512;
constexpr uint64_t kPanel = 32;  // of the rank
constexpr uint64_t kUnroll = 4;  // products added on one way through a row of sums
constexpr uint64_t kLanes = 16;  // columns at a time; a fixed count becomes vector instructions

constexpr uint64_t kStretchBytes = uint64_t{1} << 20;
constexpr uint64_t kFewestRows = 16;
constexpr uint64_t kLargestStretch = uint64_t{8} << 20;

[[noreturn]] void fail(const std::string& what) {
  throw Error(ErrorCode::kInvalid, "prediction: " + what);
}

std::string shape_text(uint64_t rows, uint64_t cols) {
  return "[" + std::to_string(rows) + "," + std::to_string(cols) + "]";
}

uint64_t checked_size(const char* name, int32_t dtype, uint64_t rows, uint64_t cols) {
  const std::optional<FloatFormat> format = float_format(dtype);
  if (!format)
    fail(std::string(name) + " has type " + std::to_string(dtype) + ", which is no float");
  uint64_t size = 0;
  if (__builtin_mul_overflow(rows, cols, &size) ||
      __builtin_mul_overflow(size, uint64_t{format->size}, &size) || size > INT64_MAX) {
    fail(std::string(name) + " has shape " + shape_text(rows, cols) + ", which is too large");
  }
  return size;
}

void check_view(const char* name, const MatrixView& view, uint64_t rows, uint64_t cols) {
  if (view.rows != rows || view.cols != cols) {
    fail(std::string(name) + " has shape " + shape_text(view.rows, view.cols) + ", needs " +
         shape_text(rows, cols));
  }
  const uint64_t size = checked_size(name, view.dtype, rows, cols);
  if (view.bytes.size() != size) {
    fail(std::string(name) + " has " + std::to_string(view.bytes.size()) + " bytes, shape " +
         shape_text(rows, cols) + " needs " + std::to_string(size));
  }
}

struct PanelSize {
  uint64_t rows, cols, rank, stride;
};

// Adds left[row][k] * right[k][col] to sums[row][col], by ascending k. Rows of `from`, `right` and
// `sums` are `stride` values apart, rows of `left` kPanel. The first way through reads `from`.
WSHARE_VECTOR_CLONES void add_panel(const PanelSize& size, const double* __restrict left,
                                    const double* __restrict right, const double* from,
                                    double* sums) {
  for (uint64_t row = 0; row < size.rows; ++row) {
    const double* in = from + row * size.stride;
    double* to = sums + row * size.stride;
    const double* l = left + row * kPanel;
    uint64_t k = 0;
    for (; k + kUnroll <= size.rank; k += kUnroll, in = to) {
      const double l0 = l[k], l1 = l[k + 1], l2 = l[k + 2], l3 = l[k + 3];
      const double* r = right + k * size.stride;
      for (uint64_t col = 0; col < size.cols; col += kLanes) {
        double block[kLanes];
        for (uint64_t i = 0; i < kLanes; ++i) {
          double sum = in[col + i];
          sum += l0 * r[col + i];
          sum += l1 * r[col + i + size.stride];
          sum += l2 * r[col + i + 2 * size.stride];
          sum += l3 * r[col + i + 3 * size.stride];
          block[i] = sum;
        }
        for (uint64_t i = 0; i < kLanes; ++i) to[col + i] = block[i];
      }
    }
    // Not padded with zeros: -0 + 0 * 0 is not -0, and 0 * infinity is no zero.
    for (; k < size.rank; ++k, in = to) {
      const double* r = right + k * size.stride;
      for (uint64_t col = 0; col < size.cols; col += kLanes) {
        double block[kLanes];
        for (uint64_t i = 0; i < kLanes; ++i) block[i] = in[col + i] + l[k] * r[col + i];
        for (uint64_t i = 0; i < kLanes; ++i) to[col + i] = block[i];
      }
    }
  }
}

// Calls use(block) for the rectangles that `count` elements from number `first` on consist of: the
// rest of a row, whole rows, and a part of a row.
template <typename Use>
void for_each_block(uint64_t first, uint64_t count, uint64_t cols, const Use& use) {
  while (count > 0) {
    const uint64_t row = first / cols, col = first % cols;
    const bool whole = col == 0 && count >= cols;
    const Block block{row, whole ? count / cols : 1, col, std::min(cols - col, count)};
    use(block);
    first += block.rows * block.cols;
    count -= block.rows * block.cols;
  }
}

// Writes `block` of a matrix that is stored transposed to `out`, row by row; a few rows and columns
// at a time, which stay in the cache.
template <typename Bits>
void turn_block(const MatrixView& view, const Block& block, std::byte* out) {
  constexpr uint64_t kTurned = 32;
  for (uint64_t row = 0; row < block.rows; row += kTurned) {
    const uint64_t rows_end = std::min(row + kTurned, block.rows);
    for (uint64_t col = 0; col < block.cols; ++col) {
      const uint64_t from = (block.col + col) * view.rows + block.row;
      for (uint64_t i = row; i < rows_end; ++i) {
        std::memcpy(out + (i * block.cols + col) * sizeof(Bits),
                    view.bytes.data() + (from + i) * sizeof(Bits), sizeof(Bits));
      }
    }
  }
}

void copy_elements(const MatrixView& base, uint64_t first, uint64_t count, std::byte* out) {
  const size_t size = float_format(base.dtype)->size;
  if (!base.transposed) {
    std::memcpy(out, base.bytes.data() + first * size, static_cast<size_t>(count) * size);
    return;
  }
  for_each_block(first, count, base.cols, [&](const Block& block) {
    if (size == 2) turn_block<uint16_t>(base, block, out);
    if (size == 4) turn_block<uint32_t>(base, block, out);
    if (size == 8) turn_block<uint64_t>(base, block, out);
    out += block.rows * block.cols * size;
  });
}

}  // namespace

uint64_t check_prediction(const Prediction& prediction) {
  const uint64_t size =
      checked_size("the result", prediction.dtype, prediction.rows, prediction.cols);
  if (!std::isfinite(prediction.multiplier)) fail("the multiplier is not finite");
  if (prediction.base) check_view("the base", *prediction.base, prediction.rows, prediction.cols);
  if (prediction.left.has_value() != prediction.right.has_value()) fail("one factor is missing");
  if (prediction.left) {
    const uint64_t rank = prediction.left->cols;
    check_view("the left factor", *prediction.left, prediction.rows, rank);
    check_view("the right factor", *prediction.right, rank, prediction.cols);
  }
  return size;
}

bool is_copy(const Prediction& prediction) {
  return prediction.base && prediction.base->dtype == prediction.dtype &&
         prediction.multiplier == 1 && !prediction.left;
}

Stretches::Stretches(uint64_t rows, uint64_t cols, size_t element_size)
    : rows_(cols == 0 ? 0 : rows), cols_(cols) {
  if (rows_ == 0) return;
  const uint64_t row_bytes = std::max<uint64_t>(cols * element_size, 1);
  piece_rows_ =
      std::max(kStretchBytes / row_bytes, std::min(kFewestRows, kLargestStretch / row_bytes));
  piece_cols_ = piece_rows_ > 0 ? cols : kStretchBytes / element_size;
  piece_rows_ = std::clamp<uint64_t>(piece_rows_, 1, std::max<uint64_t>(rows_, 1));
  size_bytes_ = static_cast<size_t>(piece_rows_ * piece_cols_) * element_size;
}

std::optional<Stretch> Stretches::next() {
  if (row_ == rows_) return std::nullopt;
  const Stretch stretch{row_, std::min(piece_rows_, rows_ - row_), col_,
                        std::min(piece_cols_, cols_ - col_)};
  col_ += stretch.cols;
  if (col_ == cols_) {
    col_ = 0;
    row_ += stretch.rows;
  }
  return stretch;
}

Predictor::Predictor(const Prediction& prediction) : prediction_(prediction) {
  check_prediction(prediction_);
}

void Predictor::allocate() {
  if (!start_.empty()) return;
  const uint64_t tile_rows = std::min(kTileRows, prediction_.rows);
  start_.resize(static_cast<size_t>(tile_rows * kTileCols));
  if (!prediction_.left) return;
  sums_.resize(start_.size());
  left_.resize(static_cast<size_t>(tile_rows * kPanel));
  right_.resize(static_cast<size_t>(kPanel * kTileCols));
}

void Predictor::start_tile(const Block& tile, size_t stride) {
  if (!prediction_.base) {
    std::fill(start_.begin(), start_.end(), 0.0);
    return;
  }
  read_block(*prediction_.base, tile, stride, start_.data());
  if (prediction_.multiplier == 1) return;
  for (size_t i = 0; i < static_cast<size_t>(tile.rows) * stride; ++i) {
    start_[i] *= prediction_.multiplier;
  }
}

void Predictor::add_products(const Block& tile, size_t stride) {
  const uint64_t rank = prediction_.left->cols;
  for (uint64_t k = 0; k < rank; k += kPanel) {
    const uint64_t count = std::min(kPanel, rank - k);
    read_block(*prediction_.left, Block{tile.row, tile.rows, k, count}, kPanel, left_.data());
    read_block(*prediction_.right, Block{k, count, tile.col, tile.cols}, stride, right_.data());
    add_panel({tile.rows, tile.cols, count, stride}, left_.data(), right_.data(),
              k == 0 ? start_.data() : sums_.data(), sums_.data());
  }
}

void Predictor::for_each_tile(const Block& block,
                              const std::function<void(const PredictedTile&)>& use) {
  allocate();
  const bool has_products = prediction_.left && prediction_.left->cols > 0;
  for (uint64_t row = 0; row < block.rows; row += kTileRows) {
    for (uint64_t col = 0; col < block.cols; col += kTileCols) {
      const Block tile{block.row + row, std::min(kTileRows, block.rows - row), block.col + col,
                       std::min(kTileCols, block.cols - col)};
      // Whole lanes; what is computed in the columns after the last is not looked at.
      const auto stride = static_cast<size_t>((tile.cols + kLanes - 1) / kLanes * kLanes);
      start_tile(tile, stride);
      if (has_products) add_products(tile, stride);
      use({tile, stride, start_.data(), has_products ? sums_.data() : start_.data()});
    }
  }
}

void Predictor::predict(const Stretch& stretch, std::byte* out) {
  const size_t size = float_format(prediction_.dtype)->size;
  for_each_tile(stretch, [&](const PredictedTile& tile) {
    for (uint64_t row = 0; row < tile.block.rows; ++row) {
      const uint64_t at =
          (tile.block.row - stretch.row + row) * stretch.cols + tile.block.col - stretch.col;
      write_values({tile.sums + row * tile.stride, static_cast<size_t>(tile.block.cols)},
                   prediction_.dtype, out + at * size);
    }
  });
}

void Predictor::for_each_row(
    uint64_t first, uint64_t count,
    const std::function<void(const PredictedTile&, uint64_t, size_t)>& use) {
  const auto use_rows = [&](const PredictedTile& tile) {
    for (uint64_t row = 0; row < tile.block.rows; ++row) {
      const uint64_t at = (tile.block.row + row) * prediction_.cols + tile.block.col - first;
      use(tile, row, static_cast<size_t>(at));
    }
  };
  for_each_block(first, count, prediction_.cols,
                 [&](const Block& block) { for_each_tile(block, use_rows); });
}

void Predictor::predict_elements(uint64_t first, uint64_t count, std::byte* out) {
  if (is_copy(prediction_)) return copy_elements(*prediction_.base, first, count, out);
  const size_t size = float_format(prediction_.dtype)->size;
  for_each_row(first, count, [&](const PredictedTile& tile, uint64_t row, size_t at) {
    write_values({tile.sums + row * tile.stride, static_cast<size_t>(tile.block.cols)},
                 prediction_.dtype, out + at * size);
  });
}

}  // namespace wshare
