#pragma once

#include "compare/graph.h"

namespace wshare {

// Moves the nodes of `graph` that only hand a value on to its `passed`, makes stored transposes
// views of their tensors, and fills paths, uses and views.
void look_through(ComputeGraph& graph);

}  // namespace wshare
