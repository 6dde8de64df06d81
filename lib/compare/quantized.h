#pragma once

#include <optional>

#include "compare/graph.h"

namespace wshare {

// How far a quantized weight moved.
struct QuantizedChange {
  // Between the numbers that the graphs make of the stored ones; none where this is not known:
  // blocks, 4 bits, a scale that a later node applies.
  std::optional<double> max_abs;
};

// A tensor of a model and its graph. Borrows.
struct ReadTensor {
  const ComputeGraph& graph;
  const ScannedModel& model;
  int32_t tensor = kAbsent;
};

// Returns what became of two tensors of equal shape, at least one of which is a weight that its
// graph reads as quantized (DequantizeLinear, MatMulInteger, MatMulNBits and the like); the other
// one may be of floats. Nothing if neither is.
std::optional<QuantizedChange> compare_quantized(const ReadTensor& a, const ReadTensor& b);

}  // namespace wshare
