#pragma once

#include <gtest/gtest.h>
#include <onnxruntime_cxx_api.h>

#include <cstring>
#include <string>
#include <vector>

#include "support/models.h"
#include "wshare/runtime.h"

namespace wshare::test {

// Makes `value` a tensor; a dimension is a number, a name, or "" when nothing is known of it.
inline void set_type(onnx::ValueInfoProto& value, const std::string& name, int type,
                     const std::vector<std::string>& dims) {
  value.set_name(name);
  onnx::TypeProto::Tensor& tensor = *value.mutable_type()->mutable_tensor_type();
  tensor.set_elem_type(type);
  tensor.mutable_shape();
  for (const std::string& dim : dims) {
    auto& added = *tensor.mutable_shape()->add_dim();
    if (dim.empty()) continue;
    if (dim.find_first_not_of("0123456789") == std::string::npos) {
      added.set_dim_value(std::stoll(dim));
    } else {
      added.set_dim_param(dim);
    }
  }
}

// Adds an input and an Identity node that makes an output of it.
inline void add_input(onnx::ModelProto& model, const std::string& name, int type,
                      const std::vector<std::string>& dims) {
  onnx::GraphProto& graph = *model.mutable_graph();
  set_type(*graph.add_input(), name, type, dims);
  add_node(graph, "Identity", {name}, {name + "_out"});
  set_type(*graph.add_output(), name + "_out", type, dims);
}

// y = MatMul(x, weight) + bias: [1, rows] -> [1, columns].
inline onnx::ModelProto matmul_model(int64_t rows, int64_t columns, const std::string& bias) {
  onnx::ModelProto model = empty_model();
  onnx::GraphProto& graph = *model.mutable_graph();
  set_type(*graph.add_input(), "x", onnx::TensorProto::FLOAT, {"1", std::to_string(rows)});
  set_type(*graph.add_output(), "y", onnx::TensorProto::FLOAT, {"1", std::to_string(columns)});
  *graph.add_initializer() = raw("weight", floats(static_cast<size_t>(rows * columns), 1),
                                 onnx::TensorProto::FLOAT, {rows, columns});
  *graph.add_initializer() = raw("bias", bias, onnx::TensorProto::FLOAT, {columns});
  add_node(graph, "MatMul", {"x", "weight"}, {"product"});
  add_node(graph, "Add", {"product", "bias"}, {"y"});
  return model;
}

inline Ort::Session session_of(const onnx::ModelProto& model) {
  const std::string bytes = model.SerializeAsString();
  return Ort::Session(environment(), bytes.data(), bytes.size(), Ort::SessionOptions{});
}

// A tensor with these bytes, which it owns.
inline Ort::Value value_of(ONNXTensorElementDataType type, const std::vector<int64_t>& shape,
                           const std::string& bytes) {
  Ort::AllocatorWithDefaultOptions allocator;
  Ort::Value value = Ort::Value::CreateTensor(allocator, shape.data(), shape.size(), type);
  EXPECT_EQ(value.GetTensorSizeInBytes(), bytes.size());
  if (!bytes.empty()) std::memcpy(value.GetTensorMutableRawData(), bytes.data(), bytes.size());
  return value;
}

inline std::string bytes_in(const Ort::Value& value) {
  return {static_cast<const char*>(value.GetTensorRawData()), value.GetTensorSizeInBytes()};
}

}  // namespace wshare::test
