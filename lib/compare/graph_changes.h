#pragma once

#include <map>
#include <string>
#include <vector>

#include "compare/compare.h"

namespace wshare {

// How the graph of b, LoRA pairs bypassed, differs from the graph of a.
struct GraphChanges {
  // Empty if a's graph with b's tensors in place of their counterparts computes what b computes.
  // (Tensors that only b has are not needed then: axes that are an attribute in a.)
  // Each text goes on where a sentence begins with b: "has 2 Tanh more (first: 'tanh_3')".
  std::vector<std::string> reasons;

  // Outputs that stand in the same place under another name: a's by b's.
  std::map<std::string, std::string> renamed_outputs;

  // What differs without a change of what is computed: opset imports.
  std::vector<std::string> notes;
};

// Compares two graphs by what they compute from inputs of the same names. Names of nodes and of
// values between them, Identity nodes, nodes that no output needs, training graphs and metadata do
// not count. That a new opset defines an operator anew is not seen.
//
// `comparison` was made of all tensors (CompareOptions::min_bytes 0).
GraphChanges find_graph_changes(const ComparisonBase& a, const ScannedModel& b,
                                const ModelComparison& comparison);

}  // namespace wshare
