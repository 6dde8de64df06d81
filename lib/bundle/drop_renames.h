#pragma once

#include <cstdint>

#include "bundle/draft.h"

namespace wshare {

// Lets what reads a weight of `min_bytes` and more behind a node that only renames it read the
// weight itself, in all models of the draft. To be called before tensors are placed and weights are
// split.
//
// `folded` of tensors is updated: ONNX Runtime makes a copy of what such a node gives.
void drop_renames(Draft& draft, uint64_t min_bytes);

}  // namespace wshare
