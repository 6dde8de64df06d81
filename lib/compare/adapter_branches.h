#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "compare/graph.h"

namespace wshare {

// What an adapter that is no plain LoRA pair does beside its layer.
enum class BranchKind {
  kDora,      // a thin pair, and the layer's output scaled by a vector
  kLoha,      // a weight made of two products of thin matrices
  kFullSize,  // a weight as large as the layer's: LoHa and the like, folded by the exporter
  kOther,     // a thin pair with more than numbers in between
};

struct AdapterBranch {
  BranchKind kind{};
  int32_t weight = kAbsent;  // of the layer; a value that is a tensor
};

// "DoRA branch"
const char* text_of(BranchKind kind);

// Returns the branches of `graph` that are summed onto the output of a layer and compute from that
// layer's input, its output and weights only, in the order of nodes. Sums that are part of LoRA
// pairs, or that the other model has, too (`counterparts` is not kAbsent), are left out.
std::vector<AdapterBranch> find_adapter_branches(const ComputeGraph& graph,
                                                 const ScannedModel& model,
                                                 const std::vector<int32_t>& counterparts);

}  // namespace wshare
