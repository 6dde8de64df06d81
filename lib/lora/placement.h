#pragma once

#include <cstdint>

#include "lora/graph_index.h"

namespace wshare {

enum class LayerKind { kMatMul, kGemm, kConv, kGather };

// Where the branch of a layer joins the graph.
struct JoinPoint {
  onnx::NodeProto* last = nullptr;  // its output 0 gets the branch: the layer or a node behind it
  // The node `last`, where it is linear (a factor, a normalisation by constants, a transpose), so
  // that the branch has to go through the same; else null.
  onnx::NodeProto* repeated = nullptr;
  int operand = 0;  // of `repeated`: where it reads what comes from the layer
  // An Add(bias, y) whose operands are to change places, or null.
  onnx::NodeProto* exchanged = nullptr;
};

// Returns the point that leaves the fusions of ONNX Runtime around the layer as they are.
JoinPoint find_join_point(const GraphIndex& index, int64_t opset, LayerKind kind, int32_t graph,
                          onnx::NodeProto* layer);

// The attribute of `node` with this name, or null.
const onnx::AttributeProto* attribute_of(const onnx::NodeProto& node, const char* name);

}  // namespace wshare
