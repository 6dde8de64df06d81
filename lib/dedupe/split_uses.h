#pragma once

#include <optional>

#include "bundle/draft.h"
#include "wshare/dedupe.h"

namespace wshare {

// Returns the edit of `model` by which each weight that nodes of several kinds read has a name per
// kind, all for the same bytes; the first kind keeps the weight's own. Nothing if there is no such
// weight, or with SplitUses::kNever.
//
// Only weights of the main graph that a session takes from the bundle's maps are split. `folded` of
// tensors is updated, since it is then said of fewer nodes.
std::optional<ModelEdit> split_uses(ScannedModel& model, SplitUses kinds, uint64_t min_bytes);

}  // namespace wshare
