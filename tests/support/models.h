#pragma once

#include <onnx/onnx_pb.h>

#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

namespace wshare::test {

using Proto = onnx::TensorProto;

// The bytes of `values`, as a little-endian machine holds them.
template <typename T>
std::string raw_of(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

// How many elements a tensor of `shape` has.
inline int64_t count_of(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (const int64_t dim : shape) count *= dim;
  return count;
}

// Numbers in [-0.5, 0.5) that depend on `seed`.
inline std::string floats(size_t count, uint32_t seed) {
  std::vector<float> values(count);
  for (float& value : values) {
    seed = seed * 1664525 + 1013904223;
    value = static_cast<float>(seed >> 16) / 65536.0F - 0.5F;
  }
  return raw_of(values);
}

// A tensor of `type` with raw bytes.
inline onnx::TensorProto raw(const std::string& name, const std::string& bytes,
                             int type = onnx::TensorProto::UINT8, std::vector<int64_t> shape = {}) {
  onnx::TensorProto proto;
  proto.set_name(name);
  proto.set_data_type(type);
  if (shape.empty()) shape = {static_cast<int64_t>(bytes.size())};
  for (const int64_t dim : shape) proto.add_dims(dim);
  proto.set_raw_data(bytes);
  return proto;
}

// A tensor of `size` uint8 without bytes, whose external_data has `entries`.
inline onnx::TensorProto external(
    const std::string& name, int64_t size,
    std::initializer_list<std::pair<const char*, std::string>> entries) {
  onnx::TensorProto proto;
  proto.set_name(name);
  proto.set_data_type(onnx::TensorProto::UINT8);
  proto.add_dims(size);
  proto.set_data_location(onnx::TensorProto::EXTERNAL);
  for (const auto& [key, value] : entries) {
    onnx::StringStringEntryProto& entry = *proto.add_external_data();
    entry.set_key(key);
    entry.set_value(value);
  }
  return proto;
}

inline onnx::NodeProto& add_node(onnx::GraphProto& graph, const std::string& op,
                                 const std::vector<std::string>& inputs,
                                 const std::vector<std::string>& outputs) {
  onnx::NodeProto& node = *graph.add_node();
  node.set_op_type(op);
  for (const std::string& input : inputs) node.add_input(input);
  for (const std::string& output : outputs) node.add_output(output);
  return node;
}

inline onnx::AttributeProto integer(const std::string& name, int64_t number) {
  onnx::AttributeProto attribute;
  attribute.set_name(name);
  attribute.set_type(onnx::AttributeProto::INT);
  attribute.set_i(number);
  return attribute;
}

// Adds `tensor` and an Identity node that reads it.
inline void add_used(onnx::GraphProto& graph, const onnx::TensorProto& tensor) {
  *graph.add_initializer() = tensor;
  add_node(graph, "Identity", {tensor.name()}, {tensor.name() + "_out"});
  graph.add_output()->set_name(tensor.name() + "_out");
}

// Adds a Constant node that gives `tensor`, and an Identity node that reads it.
inline void add_constant(onnx::GraphProto& graph, const onnx::TensorProto& tensor) {
  onnx::AttributeProto& value = *add_node(graph, "Constant", {}, {tensor.name()}).add_attribute();
  value.set_name("value");
  value.set_type(onnx::AttributeProto::TENSOR);
  *value.mutable_t() = tensor;
  add_node(graph, "Identity", {tensor.name()}, {tensor.name() + "_out"});
  graph.add_output()->set_name(tensor.name() + "_out");
}

inline onnx::ModelProto empty_model() {
  onnx::ModelProto proto;
  proto.set_ir_version(8);
  proto.add_opset_import()->set_version(17);
  proto.mutable_graph()->set_name("g");
  return proto;
}

// A model whose initializers are `tensors`, each read by an Identity node.
inline onnx::ModelProto model_of(const std::vector<onnx::TensorProto>& tensors) {
  onnx::ModelProto proto = empty_model();
  for (const onnx::TensorProto& each : tensors) add_used(*proto.mutable_graph(), each);
  return proto;
}

inline std::string bytes_of(const std::vector<onnx::TensorProto>& tensors) {
  return model_of(tensors).SerializeAsString();
}

// One length-delimited protobuf field, as on the wire.
inline std::string wire_field(uint64_t number, const std::string& payload) {
  std::string bytes;
  for (uint64_t value : {number << 3 | 2, static_cast<uint64_t>(payload.size())}) {
    for (; value >= 0x80; value >>= 7) bytes.push_back(static_cast<char>(value | 0x80));
    bytes.push_back(static_cast<char>(value));
  }
  return bytes + payload;
}

}  // namespace wshare::test
