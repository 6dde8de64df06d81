#pragma once

namespace wshare {

// Whether nodes of different kinds read a weight by names of their own, all for the same bytes: for
// sessions on a device, where a weight that is used there and on the CPU needs a name for each.
enum class SplitUses {
  kNever,
  kByOperator,  // one name for the nodes of an operator
  kByNode,      // one name for each node
};

}  // namespace wshare
