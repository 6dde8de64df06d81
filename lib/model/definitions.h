#pragma once

#include <onnx/onnx_pb.h>

#include <string_view>
#include <unordered_map>

#include "model/walk.h"

namespace wshare {

// How often each name is defined in a graph and those in it: twice may mean two things. For
// walk_graph(); the names point into the graph.
struct Definitions : GraphVisitor {
  std::unordered_map<std::string_view, int> of;

  bool is_once(std::string_view name) const {
    const auto found = of.find(name);
    return found != of.end() && found->second == 1;
  }

  void enter(const WalkPlace<const onnx::GraphProto>& place) {
    for (const onnx::ValueInfoProto& input : place.graph->input()) ++of[input.name()];
    for (const onnx::TensorProto& tensor : place.graph->initializer()) ++of[tensor.name()];
    for (const onnx::SparseTensorProto& tensor : place.graph->sparse_initializer())
      ++of[tensor.values().name()];
  }
  void node(const onnx::NodeProto& node, const WalkPlace<const onnx::GraphProto>&) {
    for (const std::string& output : node.output()) ++of[output];
  }
};

}  // namespace wshare
