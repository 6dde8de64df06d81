#pragma once

#include <cstdint>
#include <vector>

#include "bundle/draft.h"
#include "wshare/split_uses.h"
#include "wshare/tie_transposed.h"

namespace wshare {

// Lets of two weights of the draft, or of the draft and the bundle that it is added to, which are
// the transpose of each other, one stand for both: the other has its bytes from now on, and its
// readers take it so. Returns the pairs. To be called before tensors are placed.
//
// Only matrices of 64 KiB and more are looked at; those that some other matrix fits are read once
// more. With `other_bits` also where outputs may get other bits. Throws Error(kInvalid) if `split` is to
// give weights names for devices.
std::vector<TransposedPair> tie_transposed(Draft& draft, TieTransposed how, bool other_bits,
                                           SplitUses split, uint64_t min_bytes, unsigned threads);

}  // namespace wshare
