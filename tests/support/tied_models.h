#pragma once

#include <string>

#include "support/renamed_weights.h"

namespace wshare::test {

inline constexpr int64_t kWords = 600, kWidth = 64;  // 150 KiB
inline constexpr size_t kTiedBytes = kWords * kWidth * 4;

// The transpose of `bytes`, [rows, cols] floats.
inline std::string turned(const std::string& bytes, size_t rows, size_t cols) {
  std::string result(bytes.size(), '\0');
  for (size_t row = 0; row < rows; ++row) {
    for (size_t col = 0; col < cols; ++col)
      result.replace((col * rows + row) * 4, 4, bytes, (row * cols + col) * 4, 4);
  }
  return result;
}

inline onnx::TensorProto words(const std::string& name, uint32_t seed = 7) {
  return raw(name, floats(kWords * kWidth, seed), onnx::TensorProto::FLOAT, {kWords, kWidth});
}

inline onnx::TensorProto words_turned(const std::string& name, uint32_t seed = 7) {
  return raw(name, turned(floats(kWords * kWidth, seed), kWords, kWidth), onnx::TensorProto::FLOAT,
             {kWidth, kWords});
}

// Looks words up: "ids", [2, 3], gives "out", [2, 3, kWidth].
inline onnx::ModelProto encoder() {
  onnx::ModelProto model = empty_model();
  onnx::GraphProto& graph = *model.mutable_graph();
  add_value(*graph.add_input(), "ids", onnx::TensorProto::INT64, {2, 3});
  add_value(*graph.add_output(), "out", onnx::TensorProto::FLOAT, {2, 3, kWidth});
  *graph.add_initializer() = words("embedding");
  add_node(graph, "Gather", {"embedding", "ids"}, {"out"});
  return model;
}

// The same, then scaled and multiplied by the words turned, as exporters write tied embeddings.
inline onnx::ModelProto decoder() {
  onnx::ModelProto model = encoder();
  onnx::GraphProto& graph = *model.mutable_graph();
  const float scale = 1.0F / 3;
  *graph.add_initializer() =
      raw("scale", std::string(reinterpret_cast<const char*>(&scale), sizeof(scale)),
          onnx::TensorProto::FLOAT, {1});
  *graph.add_initializer() = words_turned("head");
  graph.mutable_node(0)->set_output(0, "found");
  add_node(graph, "Mul", {"found", "scale"}, {"scaled"});
  add_node(graph, "MatMul", {"scaled", "head"}, {"out"});
  graph.mutable_output(0)->clear_type();
  add_value(*graph.mutable_output(0), "out", onnx::TensorProto::FLOAT, {2, 3, kWords});
  return model;
}

}  // namespace wshare::test
