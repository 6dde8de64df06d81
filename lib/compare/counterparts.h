#pragma once

#include <vector>

#include "compare/compare.h"

namespace wshare {

// Fills comparison.tensors: who belongs to whom, by content, then by the places that the alignment
// found. Classes are final but for kReplaced, which stands for all that must be looked into.
void find_counterparts(const AlignSide& a, const AlignSide& b, ModelComparison& comparison);

}  // namespace wshare
