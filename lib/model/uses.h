#pragma once

#include <string_view>
#include <unordered_set>

namespace onnx {
class ModelProto;
}

namespace wshare {

// What the nodes of a model do with its tensors, by value name; the names point into the model.
// Names of all scopes and functions are taken together: where two scopes use one name, a tensor is
// treated with the caution that either of them needs.
struct GraphUses {
  using Names = std::unordered_set<std::string_view>;
  Names consumed;  // read by a node, or an output of a graph
  Names graph_outputs;
  Names shape_read;    // shape inference looks at the value (shapes, axes, pads, ...)
  Names folded;        // some node that reads it has constant inputs only
  Names graph_inputs;  // of any graph: an initializer of that name is a default
};

// Returns the uses in `model`. Throws Error(kInvalid) if a graph names two initializers the same.
GraphUses find_uses(const onnx::ModelProto& model);

}  // namespace wshare
