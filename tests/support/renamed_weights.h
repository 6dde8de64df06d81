#pragma once

#include <initializer_list>
#include <string>

#include "support/models.h"

namespace wshare::test {

inline constexpr int64_t kRows = 128;  // 64 KiB as float: what sessions take from maps

inline onnx::TensorProto square(const std::string& name, uint32_t seed) {
  return raw(name, floats(kRows * kRows, seed), onnx::TensorProto::FLOAT, {kRows, kRows});
}

inline void add_value(onnx::ValueInfoProto& value, const std::string& name, int type,
                      std::initializer_list<int64_t> shape) {
  value.set_name(name);
  onnx::TypeProto::Tensor& tensor = *value.mutable_type()->mutable_tensor_type();
  tensor.set_elem_type(type);
  tensor.mutable_shape();
  for (const int64_t dim : shape) tensor.mutable_shape()->add_dim()->set_dim_value(dim);
}

inline onnx::GraphProto& add_branch(onnx::NodeProto& node, const std::string& name) {
  onnx::AttributeProto& branch = *node.add_attribute();
  branch.set_name(name);
  branch.set_type(onnx::AttributeProto::GRAPH);
  branch.mutable_g()->set_name(name);
  return *branch.mutable_g();
}

inline void add_cast(onnx::GraphProto& graph, const std::string& from, const std::string& to,
                     int type) {
  *add_node(graph, "Cast", {from}, {to}).add_attribute() = integer("to", type);
}

// Takes x, [2, 128], and "yes"; gives "out". Five layers read "w": as it is, behind each kind of
// rename, behind a chain of all of them, and in both branches of an If.
inline onnx::ModelProto model_with_renames() {
  onnx::ModelProto model = empty_model();
  onnx::GraphProto& graph = *model.mutable_graph();
  add_value(*graph.add_input(), "x", onnx::TensorProto::FLOAT, {2, kRows});
  add_value(*graph.add_input(), "yes", onnx::TensorProto::BOOL, {});
  add_value(*graph.add_output(), "out", onnx::TensorProto::FLOAT, {2, kRows});
  *graph.add_initializer() = square("w", 1);
  const int64_t shape[] = {0, -1};
  *graph.add_initializer() =
      raw("shape", std::string(reinterpret_cast<const char*>(shape), sizeof(shape)),
          onnx::TensorProto::INT64, {2});
  add_node(graph, "Identity", {"w"}, {"w_1"});
  add_cast(graph, "w", "w_2", onnx::TensorProto::FLOAT);
  add_node(graph, "Reshape", {"w", "shape"}, {"w_3"});
  add_node(graph, "Identity", {"w_3"}, {"w_4"});
  add_cast(graph, "w_4", "w_5", onnx::TensorProto::FLOAT);
  add_value(*graph.add_value_info(), "w_1", onnx::TensorProto::FLOAT, {kRows, kRows});
  add_node(graph, "MatMul", {"x", "w"}, {"a"});
  add_node(graph, "MatMul", {"a", "w_1"}, {"b"});
  add_node(graph, "Gemm", {"b", "w_2"}, {"c"});
  add_node(graph, "MatMul", {"c", "w_3"}, {"d"});
  add_node(graph, "MatMul", {"d", "w_5"}, {"e"});
  onnx::NodeProto& branches = add_node(graph, "If", {"yes"}, {"out"});
  onnx::GraphProto& then = add_branch(branches, "then_branch");
  add_node(then, "Identity", {"w"}, {"mine"});
  add_node(then, "MatMul", {"e", "mine"}, {"f"});
  add_value(*then.add_output(), "f", onnx::TensorProto::FLOAT, {2, kRows});
  onnx::GraphProto& other = add_branch(branches, "else_branch");
  add_node(other, "MatMul", {"e", "w_1"}, {"g"});
  add_value(*other.add_output(), "g", onnx::TensorProto::FLOAT, {2, kRows});
  return model;
}

}  // namespace wshare::test
