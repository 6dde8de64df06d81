#pragma once

#include <set>
#include <string>

namespace onnx {
class ModelProto;
}

namespace wshare {

// What the nodes of a model do with its tensors, by value name. Names of all scopes and functions
// are taken together: where two scopes use one name, a tensor is treated with the caution that
// either of them needs.
struct GraphUses {
  std::set<std::string> consumed;  // read by a node, or an output of a graph
  std::set<std::string> graph_outputs;
  std::set<std::string> shape_read;  // shape inference looks at the value (shapes, axes, pads, ...)
  std::set<std::string> folded;      // some node that reads it has constant inputs only
  std::set<std::string> graph_inputs;  // of any graph: an initializer of that name is a default
};

// Returns the uses in `model`. Throws Error(kInvalid) if a graph names two initializers the same.
GraphUses find_uses(const onnx::ModelProto& model);

}  // namespace wshare
