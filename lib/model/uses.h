#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "util/name_table.h"

namespace onnx {
class ModelProto;
}

namespace wshare {

// What the nodes of a model do with the values of one name.
struct ValueUse {
  bool consumed = false;  // read by a node, or an output of a graph
  bool graph_output = false;
  bool shape_read = false;   // shape inference looks at the value (shapes, axes, pads, ...)
  bool folded = false;       // some node that reads it has constant inputs only
  bool graph_input = false;  // of any graph: an initializer of that name is a default
  // Of the place where find_uses() is:
  bool is_constant = false;  // known at load time
  uint32_t graph = 0;        // the last graph with an initializer of that name; the first is 1
};

// The uses of all values by their names, which point into the model. Names of all scopes and
// functions are taken together: where two scopes use one name, a tensor is treated with the caution
// that either of them needs.
class GraphUses {
 public:
  ValueUse of(std::string_view name) const {
    const std::optional<uint32_t> number = names.find(name);
    return number ? values[*number] : ValueUse();
  }

  NameTable names;
  std::vector<ValueUse> values;  // by the number of the name
  // Numbers of initializers, in the order of visit_tensors(): a million names are found faster so.
  std::vector<uint32_t> initializers;
};

// Returns the uses in `model`. Throws Error(kInvalid) if a graph names two initializers the same.
GraphUses find_uses(const onnx::ModelProto& model);

}  // namespace wshare
