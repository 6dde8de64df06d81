#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace wshare {

// One node of a model's graph or of a subgraph; the views point into the model's bytes.
struct OutlineNode {
  std::string_view op_type;
  std::vector<std::string_view> inputs;
  std::vector<std::string_view> outputs;
  int64_t axis = 0;                                    // the attribute of this name, else 0
  std::optional<std::vector<int64_t>> constant_shape;  // of the tensor in attribute "value"
};

// Returns the nodes of the main graph and of all subgraphs, as they stand in the file; functions
// are left out. Reads the wire format, so that no weight is copied.
//
// Throws Error(kInvalid) if `model` is no protobuf message or graphs are nested more than 50 deep.
// Source: onnx.proto3, ModelProto, GraphProto, NodeProto, AttributeProto.
std::vector<OutlineNode> read_nodes(std::span<const std::byte> model);

}  // namespace wshare
