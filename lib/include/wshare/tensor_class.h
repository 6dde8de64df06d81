#pragma once

namespace wshare {

// What a tensor of model B is to model A. The texts stand in docs/cli.md.
enum class TensorClass {
  kSame,        // equal bytes under the same name
  kRenamed,     // equal bytes under another name, scope or shape
  kTransposed,  // the transpose
  kCast,        // equal after a change of the float type
  kQuantised,   // integers that one model has in place of the other's floats
  kLowRank,     // A's tensor plus a product of two thin matrices
  kLora,        // factor of an unmerged LoRA pair that only one model has
  kReplaced,    // at the same place, with other values
  kAdded,       // only in B
  kRemoved,     // only in A
};
const char* text_of(TensorClass tensor_class);

}  // namespace wshare
