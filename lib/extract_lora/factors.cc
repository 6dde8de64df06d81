#include "extract_lora/factors.h"

#include <cstring>
#include <string>
#include <vector>

#include "format/dtype.h"
#include "util/as_text.h"

namespace wshare {
namespace {

size_t element_bytes(int32_t dtype) { return static_cast<size_t>(find_dtype(dtype)->bits) / 8; }

// Which of the two is stored as the transpose of what the layout of the weight gives.
bool is_turned(FactorLayout layout) { return layout == FactorLayout::kOutIn; }

// Returns row-major `values` [rows, cols], or their transpose, rounded to `dtype`.
std::span<const std::byte> store(const std::vector<double>& values, uint64_t rows, uint64_t cols,
                                 bool turned, int32_t dtype, SharedScratch& scratch) {
  const std::span<std::byte> out = scratch.allocate(values.size() * element_bytes(dtype));
  if (!turned) {
    write_values(values, dtype, out.data());
    return out;
  }
  std::vector<double> transposed(values.size());
  for (uint64_t row = 0; row < rows; ++row) {
    for (uint64_t col = 0; col < cols; ++col)
      transposed[col * rows + row] = values[row * cols + col];
  }
  write_values(transposed, dtype, out.data());
  return out;
}

}  // namespace

std::span<std::byte> SharedScratch::allocate(size_t size) {
  constexpr size_t kMostSmallBytes = size_t{1} << 20;
  constexpr size_t kPieceBytes = size_t{4} << 20;
  constexpr size_t kAlignment = 64;
  const std::lock_guard lock(mutex_);
  if (size >= kPieceBytes / 4) return scratch_.allocate(size);
  if (size <= kMostSmallBytes - small_bytes_) {
    small_bytes_ += size;
    return scratch_.allocate(size);
  }
  if (remainder_.size() < size) remainder_ = scratch_.allocate(kPieceBytes);
  const std::span<std::byte> piece = remainder_.first(size);
  const size_t used = (size + kAlignment - 1) / kAlignment * kAlignment;
  remainder_ = remainder_.subspan(std::min(used, remainder_.size()));
  return piece;
}

MatrixView StoredFactors::left() const {
  if (is_turned(layout)) return {b, dtype, rows, rank, true};
  return {layout == FactorLayout::kConv ? b : a, dtype, rows, rank, false};
}

MatrixView StoredFactors::right() const {
  if (is_turned(layout)) return {a, dtype, rank, cols, true};
  return {layout == FactorLayout::kConv ? a : b, dtype, rank, cols, false};
}

FactorViews StoredFactors::views(bool transposed) const {
  if (transposed) return {transpose_of(right()), transpose_of(left())};
  return {left(), right()};
}

StoredFactors store_factors(const LowRankFactors& factors, FactorLayout layout, int32_t dtype,
                            SharedScratch& scratch) {
  StoredFactors stored{layout, dtype, factors.rows, factors.cols, factors.rank, {}, {}};
  const bool turned = is_turned(layout);
  const auto left = store(factors.left, factors.rows, factors.rank, turned, dtype, scratch);
  const auto right = store(factors.right, factors.rank, factors.cols, turned, dtype, scratch);
  stored.a = layout == FactorLayout::kInOut ? left : right;
  stored.b = layout == FactorLayout::kInOut ? right : left;
  return stored;
}

CodedResidual code_residual(const Prediction& prediction, std::span<const std::byte> actual,
                            bool keep, SharedScratch& scratch) {
  std::string coded;
  CodedResidual result;
  result.report = encode_residual(
      prediction, actual, [&](std::span<const std::byte> bytes) { coded += as_text(bytes); },
      {.errors = true});
  if (!keep || coded.empty()) return result;
  const std::span<std::byte> kept = scratch.allocate(coded.size());
  std::memcpy(kept.data(), coded.data(), coded.size());
  result.bytes = kept;
  return result;
}

void copy_matrix(const MatrixView& view, double scaling, std::span<std::byte> out) {
  std::vector<double> row(view.cols);
  const size_t row_bytes = static_cast<size_t>(view.cols) * element_bytes(view.dtype);
  for (uint64_t i = 0; i < view.rows; ++i) {
    read_rows(view, i, 1, row.data());
    for (double& value : row) value *= scaling;
    write_values(row, view.dtype, out.data() + static_cast<size_t>(i) * row_bytes);
  }
}

}  // namespace wshare
