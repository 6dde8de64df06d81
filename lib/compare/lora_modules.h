#pragma once

#include <cstdint>
#include <vector>

#include "compare/graph.h"

namespace wshare {

// An unmerged LoRA pair beside the layer that it adapts:
//
//   x ─┬─ MatMul(W) ─ [Add bias] ─────────────┬─ Add ─
//      └─ MatMul(A) ─ MatMul(B) ─ [Mul scale] ┘
//
// Gemm and Conv do as well as MatMul; the Mul may be anywhere on the lower path, or missing.
struct LoraModule {
  int32_t base_node = kAbsent;                         // the layer with the weight
  int32_t weight = kAbsent, a = kAbsent, b = kAbsent;  // values that are tensors
  int32_t base_output = kAbsent, sum = kAbsent;        // values: before and after the Add
  std::vector<int32_t> nodes;                          // of the lower path, and the Add
  int64_t rank = 0;
  double scaling = 1;
};

// Returns the LoRA pairs of `graph`, in the order of its nodes. No name is looked at: a pair is one
// if it starts from the input of a layer, ends in the sum with that layer's output, its inner sizes
// agree, its outer sizes are the layer's and its rank is smaller than both. A layer may have
// several, each on the sum of the one before.
std::vector<LoraModule> find_lora_modules(const ComputeGraph& graph, const ScannedModel& model);

// Takes the pairs out of the way: uses of each sum become uses of the layer's output, and the nodes
// of the pairs are marked.
void bypass(ComputeGraph& graph, const std::vector<LoraModule>& modules);

}  // namespace wshare
