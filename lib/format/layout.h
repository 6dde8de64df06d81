#pragma once

#include <cstdint>

namespace wshare {

// Extents of at least kLargeBytes start on pages of their own: they can be mapped and dropped
// alone, and a session takes them straight from the map. Smaller ones start on cache lines.
inline constexpr uint64_t kLargeBytes = uint64_t{64} << 10;
inline constexpr uint64_t kPageBytes = 4096;
inline constexpr uint64_t kLineBytes = 64;

// Returns the alignment in a blob of an extent of `size` bytes.
constexpr uint64_t alignment_of(uint64_t size) {
  return size >= kLargeBytes ? kPageBytes : kLineBytes;
}

// Returns the smallest multiple of `alignment`, a power of two, that is at least `offset`.
constexpr uint64_t align_up(uint64_t offset, uint64_t alignment) {
  return (offset + alignment - 1) & ~(alignment - 1);
}

}  // namespace wshare
