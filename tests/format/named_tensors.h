#pragma once

#include <string>
#include <utility>
#include <vector>

#include "format/named_tensor.h"
#include "support/bytes.h"

namespace wshare::test {

// A tensor whose bytes are those of `bytes`, which it borrows.
inline NamedTensor tensor(const std::string& name, int32_t dtype, std::vector<int64_t> shape,
                          const std::string& bytes) {
  return {name, dtype, std::move(shape), bytes_of(bytes)};
}

// "name dtype [dim,dim,] bytes" of each.
inline std::string text_of(const std::vector<NamedTensor>& tensors) {
  std::string text;
  for (const NamedTensor& each : tensors) {
    text += each.name + " " + std::to_string(each.dtype) + " [";
    for (const int64_t dim : each.shape) text += std::to_string(dim) + ",";
    text += "] " + text_of(each.bytes);
  }
  return text;
}

}  // namespace wshare::test
