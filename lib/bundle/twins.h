#pragma once

#include <compare>
#include <cstdint>
#include <span>
#include <vector>

#include "bundle/distinct.h"

namespace wshare {

// A content seen as a matrix, row-major: rows * cols * element_bytes are the size of the content.
struct ContentMatrix {
  uint32_t content = 0;
  uint64_t rows = 0;
  uint64_t cols = 0;
  uint32_t element_bytes = 0;  // 1, 2, 4, 8 or 16
  auto operator<=>(const ContentMatrix&) const = default;
};

struct Twin {
  uint32_t content = 0;
  uint32_t transpose_of = 0;  // an earlier content
};

// Returns the contents that are the transpose, element by element, of an earlier content, in order
// and each once. Of two that lie in longer contents anyway nothing is said: they take no bytes.
std::vector<Twin> find_twins(std::span<const Content> contents, std::vector<ContentMatrix> views,
                             unsigned threads);

}  // namespace wshare
