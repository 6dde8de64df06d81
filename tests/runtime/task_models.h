#pragma once

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

}  // namespace wshare::test
