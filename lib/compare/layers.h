#pragma once

#include <cstdint>
#include <optional>

#include "compare/graph.h"

namespace wshare {

// A layer with a weight of the model: y [.., out] = x [.., in] · weight.
struct Layer {
  int32_t node = kAbsent;
  int32_t weight = kAbsent;  // value that is a tensor
  int32_t input = kAbsent;   // x
  uint64_t in = 0, out = 0;
};

// Walks through a graph from layer to layer. Borrows.
class LayerWalk {
 public:
  LayerWalk(const ComputeGraph& graph, const ScannedModel& model) : graph_(graph), model_(model) {}

  const GraphNode& node_at(int32_t node) const { return graph_.nodes[static_cast<size_t>(node)]; }
  const GraphValue& value_at(int32_t value) const {
    return graph_.values[static_cast<size_t>(value)];
  }
  const TensorRef& tensor_of(int32_t value) const {
    return model_.tensors[static_cast<size_t>(value_at(value).tensor)];
  }
  bool is_tensor(int32_t value) const {
    return value != kAbsent && value_at(value).tensor != kAbsent;
  }
  bool used_once(int32_t value) const { return value_at(value).uses.size() == 1; }

  // The node that gives `value`, or null for tensors and inputs.
  const GraphNode* producer_of(int32_t value) const;

  // The layer (MatMul, Gemm, Conv) that gives `value`. `bias` says whether it may have one.
  std::optional<Layer> layer_of(int32_t value, bool bias) const;

  // The number that `value` is another value's product with, and that value; else nothing.
  struct Scaled {
    double factor = 1;
    int32_t value = kAbsent;
  };
  std::optional<Scaled> scaled(int32_t value) const;

  int32_t skip_reshapes(int32_t value) const;

  // The value before `value` on the way from a layer's output back to the layer: over its bias, and
  // over the Reshape pair that some exporters put around a Gemm. kAbsent where the way ends.
  int32_t step_back(int32_t value) const;

  static constexpr int kMostSteps = 6;  // of such a way

 private:
  const ComputeGraph& graph_;
  const ScannedModel& model_;
};

// True if `node` reads its weight (operand 1) as [out, in]: Gemm with transB, Conv.
bool reads_out_in(const GraphNode& node);

}  // namespace wshare
