#pragma once

#include <cstdint>

#include "bundle/draft.h"
#include "wshare/split_uses.h"

namespace wshare {

// Gives each weight of the models that nodes of several kinds read a name per kind, all for the
// same bytes; the first kind keeps the weight's own. To be called before tensors are placed.
//
// Only weights of the main graph that a session takes from the bundle's maps are split. `folded` of
// tensors is updated, since it is then said of fewer nodes.
void split_uses(Draft& draft, SplitUses kinds, uint64_t min_bytes);

}  // namespace wshare
