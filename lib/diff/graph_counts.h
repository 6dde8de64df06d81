#pragma once

#include "compare/compare.h"
#include "wshare/diff.h"

namespace wshare {

// Counts what differs in the graphs of two compared models beside their tensors.
DiffGraph count_graph_changes(const ScannedModel& a, const ScannedModel& b,
                              const ModelComparison& comparison);

}  // namespace wshare
