#include "format/transpose.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace wshare {
namespace {

constexpr uint64_t kPieceBytes = uint64_t{1} << 20;
constexpr uint64_t kBlock = 64;  // rows and columns: both sides stay in the cache

// Writes columns [first, first + count) of `matrix` to `out` as rows.
template <size_t kBytes>
void turn_columns(std::span<const std::byte> matrix, uint64_t rows, uint64_t cols, uint64_t first,
                  uint64_t count, std::byte* out) {
  for (uint64_t begin = 0; begin < rows; begin += kBlock) {
    const uint64_t end = std::min(rows, begin + kBlock);
    for (uint64_t col = 0; col < count; ++col) {
      for (uint64_t row = begin; row < end; ++row) {
        std::memcpy(out + (col * rows + row) * kBytes,
                    matrix.data() + (row * cols + first + col) * kBytes, kBytes);
      }
    }
  }
}

void turn_columns(std::span<const std::byte> matrix, uint64_t rows, uint64_t cols,
                  uint32_t element_bytes, uint64_t first, uint64_t count, std::byte* out) {
  switch (element_bytes) {
    case 1:
      return turn_columns<1>(matrix, rows, cols, first, count, out);
    case 2:
      return turn_columns<2>(matrix, rows, cols, first, count, out);
    case 4:
      return turn_columns<4>(matrix, rows, cols, first, count, out);
    case 8:
      return turn_columns<8>(matrix, rows, cols, first, count, out);
    default:
      return turn_columns<16>(matrix, rows, cols, first, count, out);
  }
}

}  // namespace

void write_transposed(std::span<const std::byte> matrix, uint64_t rows, uint64_t cols,
                      uint32_t element_bytes, const ByteSink& write) {
  const uint64_t row_bytes = rows * element_bytes;
  if (matrix.empty()) return;
  const uint64_t most = std::min(cols, std::max<uint64_t>(1, kPieceBytes / row_bytes));
  std::vector<std::byte> piece(static_cast<size_t>(most * row_bytes));
  for (uint64_t first = 0; first < cols; first += most) {
    const uint64_t count = std::min(most, cols - first);
    turn_columns(matrix, rows, cols, element_bytes, first, count, piece.data());
    write(std::span(piece).first(static_cast<size_t>(count * row_bytes)));
  }
}

}  // namespace wshare
