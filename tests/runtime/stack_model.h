#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "runtime/task_models.h"
#include "support/bundle_test.h"

namespace wshare::test {

// A stack of square matrices that all models share, and a head of `seed`.
inline onnx::ModelProto stack_model(int layers, int64_t width, int64_t head, uint32_t seed) {
  onnx::ModelProto model = empty_model();
  onnx::GraphProto& graph = *model.mutable_graph();
  set_type(*graph.add_input(), "x", Proto::FLOAT, {"2", std::to_string(width)});
  set_type(*graph.add_output(), "y", Proto::FLOAT, {"2", std::to_string(head)});
  std::string value = "x";
  const auto multiply = [&](const std::string& name, int64_t columns, uint32_t number,
                            const std::string& result) {
    *graph.add_initializer() = raw(name, floats(static_cast<size_t>(width * columns), number),
                                   Proto::FLOAT, {width, columns});
    add_node(graph, "MatMul", {value, name}, {result});
  };
  for (int layer = 0; layer < layers; ++layer) {
    const std::string number = std::to_string(layer);
    multiply("w" + number, width, static_cast<uint32_t>(layer + 1), "p" + number);
    value = "p" + number;
  }
  multiply("head", head, seed, "y");
  return model;
}

}  // namespace wshare::test
