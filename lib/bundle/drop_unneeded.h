#pragma once

#include <cstdint>

#include "format/manifest/manifest.h"

namespace wshare {

// Takes the blobs out of `left` that nothing in it needs; `left` is `before` without some of its
// models, tasks or packs, and has all its blobs still.
//
// What these leave in other blobs becomes gaps, so that every byte stays accounted for; gaps that
// restore records name keep their numbers.
void drop_unneeded(const Manifest& before, Manifest& left);

// Returns how many bytes in blobs of tensors nothing in `manifest` uses.
uint64_t unused_bytes(const Manifest& manifest);

}  // namespace wshare
