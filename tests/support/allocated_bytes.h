#pragma once

#include <atomic>
#include <cstdint>

// What operator new gave, where one file of a test program includes support/allocated.h.

namespace wshare::test {

inline std::atomic<uint64_t> allocated_bytes{0};

// Returns the bytes that `work` allocates, whether it frees them or not.
template <typename Work>
uint64_t allocated_by(const Work& work) {
  const uint64_t before = allocated_bytes;
  work();
  return allocated_bytes - before;
}

}  // namespace wshare::test
