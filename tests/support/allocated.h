#pragma once

#include <cstddef>
#include <cstdlib>
#include <new>

#include "support/allocated_bytes.h"

// Counts the bytes that operator new gives. Included by one file of a test program, for which it
// replaces the operators of the whole program. (Inlined, g++ 12 takes free for a mismatch with
// new.)

[[gnu::noinline]] void* operator new(std::size_t size) {
  wshare::test::allocated_bytes += size;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}

// std::stable_sort takes this one.
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  wshare::test::allocated_bytes += size;
  return std::malloc(size);
}

[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }

[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

[[gnu::noinline]] void operator delete(void* memory, const std::nothrow_t&) noexcept {
  std::free(memory);
}
