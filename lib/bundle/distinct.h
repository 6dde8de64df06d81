#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "util/content_hash.h"

namespace wshare {

using Bytes = std::span<const std::byte>;

// One distinct byte string.
struct Content {
  Bytes bytes;  // of the first tensor that has it
  ContentHash hash;
  std::optional<uint32_t> host;  // a longer content that begins with these bytes
};

struct Contents {
  std::vector<Content> contents;    // in the order of the first tensor that has each
  std::vector<uint32_t> of_tensor;  // index in `contents`
  uint64_t comparisons = 0;         // of two tensors or parts of them, for tests
};

// Called now and then from any thread with the bytes read since the last call.
using ReadProgress = std::function<void(uint64_t)>;

// Returns a number that is equal for tensors which begin with the same kilobyte: what
// find_distinct() compares with each other. Only the first kilobyte is read.
uint64_t front_fingerprint(Bytes tensor);

// Finds out which of `tensors` have equal bytes, and which are the front of a longer one.
//
// Every input byte is read once, a second time where many tensors begin alike and differ later;
// comparisons are at most n log n of n tensors that begin alike. `fingerprint` maps the first bytes
// of a tensor to a number and only chooses what is compared with what; bytes decide. (A test passes
// one that always collides; by default it is front_fingerprint().)
Contents find_distinct(std::span<const Bytes> tensors, unsigned threads,
                       const ReadProgress& progress = {},
                       const std::function<uint64_t(Bytes)>& fingerprint = {});

}  // namespace wshare
