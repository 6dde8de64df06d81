#pragma once

#include <string>

#include "runtime/task_models.h"

namespace wshare::test {

// The task model, whose "second" goes through a Transpose that optimisers compute.
inline onnx::ModelProto model_with_folded_weight() {
  onnx::ModelProto model = task_model(11);
  onnx::GraphProto& graph = *model.mutable_graph();
  graph.mutable_node(3)->set_input(1, "turned");
  add_node(graph, "Transpose", {"second"}, {"turned"});
  for (int i = 6; i > 3; --i) graph.mutable_node()->SwapElements(i, i - 1);
  return model;
}

// The task model, whose product with "second" the test device leaves to the CPU; with
// `also_on_device`, there is another one with it that it does not.
inline onnx::ModelProto model_with_host_node(bool also_on_device) {
  onnx::ModelProto model = task_model(11);
  onnx::GraphProto& graph = *model.mutable_graph();
  graph.mutable_node(3)->set_name("host_product");
  if (!also_on_device) return model;
  graph.mutable_node(3)->set_output(0, "d0");
  add_node(graph, "MatMul", {"d0", "second"}, {"d"});
  for (int i = 6; i > 4; --i) graph.mutable_node()->SwapElements(i, i - 1);
  return model;
}

}  // namespace wshare::test
