#pragma once

#include <cstdint>
#include <vector>

#include "compare/graph.h"
#include "compare/signatures.h"

namespace wshare {

// One of two models that are aligned. Borrows.
struct AlignSide {
  AlignSide(const ComputeGraph& its_graph, const ScannedModel& its_model,
            const std::vector<int64_t>& its_contents)
      : graph(&its_graph),
        model(&its_model),
        contents(its_contents),
        signatures(compute_signatures(its_graph)) {}

  const ComputeGraph* graph;
  const ScannedModel* model;
  // [tensor]: equal numbers, equal bytes, over both sides; -1: none
  const std::vector<int64_t>& contents;
  Signatures signatures;
};

// Two tensors that are the same operand of the same node.
struct OperandPair {
  int32_t a = kAbsent, b = kAbsent;  // tensors
  bool transposed = false;           // one node reads it as the transpose of what the other reads
};

// Which nodes of two models belong together.
struct Alignment {
  std::vector<int32_t> node_of_a, node_of_b;  // the counterpart, or kAbsent
  // Of values that are no tensors; also of two that only stand at one place.
  std::vector<int32_t> value_of_a, value_of_b;
  std::vector<OperandPair> places;             // in the order found; one tensor may have several
  std::vector<bool> ambiguous_a, ambiguous_b;  // [tensor]: several counterparts fit equally well
  uint64_t steps = 0;                          // nodes and uses that were looked at, for tests
};

// Aligns two graphs.
//
// Nodes that use equal weights belong together; from these, and from the inputs and outputs of the
// models, the rest is found from node to node. Names decide only between nodes of one place, when
// both models use the same set of names there, and where nothing else reaches. Where several nodes
// fit equally well, none is taken.
Alignment align(const AlignSide& a, const AlignSide& b);

}  // namespace wshare
