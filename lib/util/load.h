#pragma once

#include <cstddef>
#include <cstring>

namespace wshare {

// Returns the T at `at`, which need not be aligned: payloads lie in files at any address. Always
// inlined, so that loops over it are vectorised where their function is.
template <typename T>
[[gnu::always_inline]] inline T load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof(T));
  return value;
}

}  // namespace wshare
