#pragma once

#include <array>
#include <string>
#include <vector>

#include "run/graphs.h"

namespace wshare::test {

inline constexpr int64_t kWidth = 256;
inline constexpr uint64_t kMatrix = kWidth * kWidth * 4;  // bytes; 256 KiB
inline constexpr uint64_t kHead = kWidth * 8 * 4;         // 8 KiB: too small to share
inline constexpr uint64_t kBias = kWidth * 4;

// y = Softmax(Relu(x first + bias) second) head: two matrices for all models, a head for each.
inline onnx::ModelProto task_model(uint32_t seed) {
  onnx::ModelProto model = empty_model();
  onnx::GraphProto& graph = *model.mutable_graph();
  set_type(*graph.add_input(), "x", Proto::FLOAT, {"2", std::to_string(kWidth)});
  set_type(*graph.add_output(), "y", Proto::FLOAT, {"2", "8"});
  const auto matrix = [&](const char* name, int64_t columns, uint32_t number) {
    const auto count = static_cast<size_t>(kWidth * columns);
    *graph.add_initializer() = raw(name, floats(count, number), Proto::FLOAT, {kWidth, columns});
  };
  matrix("first", kWidth, 1);
  matrix("second", kWidth, 2);
  matrix("head", 8, seed);
  *graph.add_initializer() = raw("bias", floats(kWidth, 3), Proto::FLOAT, {kWidth});
  add_node(graph, "MatMul", {"x", "first"}, {"a"});
  add_node(graph, "Add", {"a", "bias"}, {"b"});
  add_node(graph, "Relu", {"b"}, {"c"});
  add_node(graph, "MatMul", {"c", "second"}, {"d"});
  add_node(graph, "Softmax", {"d"}, {"e"});
  add_node(graph, "MatMul", {"e", "head"}, {"y"});
  return model;
}

inline constexpr uint64_t kShared = 2 * kMatrix, kOwn = kHead + kBias;  // of a task model

inline std::vector<Ort::Value> run_task(Ort::Session& session) {
  const Ort::Value x = value_of(ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, {2, kWidth},
                                floats(static_cast<size_t>(2 * kWidth), 7));
  const char* input = "x";
  const char* output = "y";
  return session.Run(Ort::RunOptions{nullptr}, &input, &x, 1, &output, 1);
}

// y = If(yes) x inner else x outer: a weight of a branch, and one of the graph around it.
inline onnx::ModelProto model_with_branches() {
  onnx::ModelProto model = empty_model();
  onnx::GraphProto& graph = *model.mutable_graph();
  set_type(*graph.add_input(), "x", Proto::FLOAT, {"2", std::to_string(kWidth)});
  set_type(*graph.add_input(), "yes", Proto::BOOL, {"1"});
  set_type(*graph.add_output(), "y", Proto::FLOAT, {"2", std::to_string(kWidth)});
  const auto weight = [](const char* name, uint32_t seed) {
    return raw(name, floats(kWidth * kWidth, seed), Proto::FLOAT, {kWidth, kWidth});
  };
  *graph.add_initializer() = weight("outer", 1);
  onnx::NodeProto& choice = add_node(graph, "If", {"yes"}, {"y"});
  for (const std::string name : {"then_branch", "else_branch"}) {
    onnx::AttributeProto& attribute = *choice.add_attribute();
    attribute.set_name(name);
    attribute.set_type(onnx::AttributeProto::GRAPH);
    onnx::GraphProto& body = *attribute.mutable_g();
    body.set_name(name);
    const bool is_then = name == "then_branch";
    if (is_then) *body.add_initializer() = weight("inner", 2);
    add_node(body, "MatMul", {"x", is_then ? "inner" : "outer"}, {name + "_y"});
    set_type(*body.add_output(), name + "_y", Proto::FLOAT, {"2", std::to_string(kWidth)});
  }
  return model;
}

inline std::vector<Ort::Value> run_branches(Ort::Session& session, bool yes) {
  const std::array<Ort::Value, 2> inputs = {
      value_of(ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, {2, kWidth}, floats(2 * kWidth, 7)),
      value_of(ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL, {1}, std::string(1, yes ? 1 : 0))};
  const std::array names = {"x", "yes"};
  const char* output = "y";
  return session.Run(Ort::RunOptions{nullptr}, names.data(), inputs.data(), inputs.size(), &output,
                     1);
}

}  // namespace wshare::test
