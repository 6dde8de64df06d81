#include "lora/full_pair.h"

#include <algorithm>
#include <vector>

namespace wshare {
namespace {

void write_identity(uint64_t size, int32_t dtype, std::span<std::byte> out) {
  std::vector<double> row(static_cast<size_t>(size));
  const size_t row_bytes = row.size() * float_format(dtype)->size;
  for (size_t i = 0; i < row.size(); ++i) {
    row[i] = 1;
    write_values(row, dtype, out.data() + i * row_bytes);
    row[i] = 0;
  }
}

void write_difference(const MatrixView& from, const MatrixView& to, int32_t dtype,
                      std::span<std::byte> out) {
  constexpr uint64_t kRows = 32;  // at once: what lies together in a transposed matrix
  const auto cols = static_cast<size_t>(from.cols);
  std::vector<double> before(kRows * cols), after(kRows * cols);
  for (uint64_t first = 0; first < from.rows; first += kRows) {
    const uint64_t count = std::min(kRows, from.rows - first);
    read_rows(from, first, count, before.data());
    read_rows(to, first, count, after.data());
    const size_t size = static_cast<size_t>(count) * cols;
    for (size_t i = 0; i < size; ++i) after[i] -= before[i];
    write_values(std::span(after).first(size), dtype,
                 out.data() + static_cast<size_t>(first) * cols * float_format(dtype)->size);
  }
}

}  // namespace

void write_full_pair(const MatrixView& from, const MatrixView& to, FactorLayout layout,
                     int32_t dtype, std::span<std::byte> a, std::span<std::byte> b) {
  // As a product left · right: A is left where a layer computes x · W, else right.
  const bool left_differs = from.rows > from.cols;
  const bool a_differs = left_differs == (layout == FactorLayout::kInOut);
  const bool turned = layout == FactorLayout::kOutIn;
  write_difference(turned ? transpose_of(from) : from, turned ? transpose_of(to) : to, dtype,
                   a_differs ? a : b);
  write_identity(full_rank(from.rows, from.cols), dtype, a_differs ? b : a);
}

}  // namespace wshare
