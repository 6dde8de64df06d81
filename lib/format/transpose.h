#pragma once

#include <cstdint>

#include "format/byte_sink.h"

namespace wshare {

// Writes the transpose of `matrix`, [rows, cols] of elements of `element_bytes` (1, 2, 4, 8 or 16),
// to `write`, front to back in pieces of about a megabyte, or a row where that is more.
void write_transposed(std::span<const std::byte> matrix, uint64_t rows, uint64_t cols,
                      uint32_t element_bytes, const ByteSink& write);

}  // namespace wshare
