#pragma once

#include <optional>
#include <vector>

#include "compare/graph.h"

namespace wshare {

// How far a quantized weight moved.
struct QuantizedChange {
  // Between the numbers that the graphs make of the stored ones; none where this is not known:
  // blocks, 4 bits, a scale that a later node applies.
  std::optional<double> max_abs;
};

// A model and its graph. Borrows.
struct QuantizedSide {
  QuantizedSide(const ComputeGraph& its_graph, const ScannedModel& its_model);

  const ComputeGraph& graph;
  const ScannedModel& model;
  std::vector<const GraphNode*> dequantizers;  // [tensor]: the first DequantizeLinear of it
};

// Returns what became of tensors `of_a` and `of_b`, of equal shape, at least one of which is a
// weight that its graph reads as quantized (DequantizeLinear, MatMulInteger, MatMulNBits and the
// like); the other one may be of floats. Nothing if neither is.
std::optional<QuantizedChange> compare_quantized(const QuantizedSide& a, int32_t of_a,
                                                 const QuantizedSide& b, int32_t of_b);

}  // namespace wshare
