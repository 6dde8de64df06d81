#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "bundle/distinct.h"

namespace wshare {

// The elements of a content, as its first tensor reads them.
struct ValueView {
  Bytes bytes;
  int32_t dtype = 0;
};

// What all elements of a content have in common.
struct ValueFacts {
  bool constant = false;  // all equal, bit for bit
  bool zero = false;      // all bits 0
  bool float16 = false;   // float32, and every value is also one of float16
  bool bfloat16 = false;  // the same of bfloat16
  uint64_t nonzeros = 0;  // elements with a bit set, where most are zero; else all elements
};

// Returns the facts of each view, whose bytes are whole elements.
//
// A sample of 64 KiB decides which are read as a whole: those that may have something in common.
std::vector<ValueFacts> look_at_values(std::span<const ValueView> views, unsigned threads);

}  // namespace wshare
