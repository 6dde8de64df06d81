#include "run/ranges.h"

#include <algorithm>
#include <array>
#include <set>
#include <string_view>

#include "format/onnx_wire.h"
#include "runtime/outline.h"

namespace wshare {
namespace {

// Nodes whose output 0 holds values of input 0 only.
constexpr std::array<std::string_view, 11> kKeepsValues = {
    "Cast",      "Reshape", "Identity", "Unsqueeze", "Squeeze", "Flatten",
    "Transpose", "Expand",  "Slice",    "Tile",      "Concat"};
// Nodes whose output 0 has the shape of input 0.
constexpr std::array<std::string_view, 4> kKeepsShape = {"Cast", "Identity", "DequantizeLinear",
                                                         "QuantizeLinear"};

template <size_t N>
bool is_one_of(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

class Graph {
 public:
  explicit Graph(std::span<const std::byte> model) : nodes_(read_nodes(model)) {
    for (const WireTensor& tensor : find_wire_tensors(model).tensors) {
      WireReference reference = read_wire_reference(model, tensor);
      if (!reference.name.empty()) shapes_[reference.name] = std::move(reference.shape);
    }
    for (const OutlineNode& node : nodes_) {
      if (node.constant_shape && !node.outputs.empty())
        shapes_[node.outputs[0]] = *node.constant_shape;
    }
    for (const OutlineNode& node : nodes_) {  // in topological order, as ONNX demands
      for (const std::string_view input : node.inputs) readers_[input].push_back(&node);
      if (!is_one_of(kKeepsShape, node.op_type) || node.inputs.empty() || node.outputs.empty())
        continue;
      const auto shape = shapes_.find(node.inputs[0]);
      if (shape != shapes_.end()) shapes_.emplace(node.outputs[0], shape->second);
    }
  }

  // Returns the fewest rows of all tables that the values of `input` select from, or 0 if there is
  // none.
  int64_t row_limit(std::string_view input) const {
    int64_t limit = 0;
    std::set<std::string_view> seen;
    std::vector<std::string_view> waiting = {input};
    while (!waiting.empty()) {
      const std::string_view name = waiting.back();
      waiting.pop_back();
      const auto readers = readers_.find(name);
      if (!seen.insert(name).second || readers == readers_.end()) continue;
      for (const OutlineNode* node : readers->second) {
        const int64_t rows = rows_selected(*node, name);
        if (rows > 0 && (limit == 0 || rows < limit)) limit = rows;
        const bool is_value =
            !node->inputs.empty() && (node->inputs[0] == name || node->op_type == "Concat");
        if (is_value && is_one_of(kKeepsValues, node->op_type) && !node->outputs.empty()) {
          waiting.push_back(node->outputs[0]);
        }
      }
    }
    return limit;
  }

 private:
  int64_t rows_of(std::string_view table, int64_t axis) const {
    const auto shape = shapes_.find(table);
    if (shape == shapes_.end()) return 0;
    const auto rank = static_cast<int64_t>(shape->second.size());
    if (axis < 0) axis += rank;
    return axis >= 0 && axis < rank ? shape->second[static_cast<size_t>(axis)] : 0;
  }

  int64_t rows_selected(const OutlineNode& node, std::string_view name) const {
    if (node.op_type == "Gather" && node.inputs.size() == 2 && node.inputs[1] == name) {
      return rows_of(node.inputs[0], node.axis);
    }
    // com.microsoft: input_ids, segment_ids and their tables.
    if (node.op_type == "EmbedLayerNormalization" && node.inputs.size() > 4) {
      if (node.inputs[0] == name) return rows_of(node.inputs[2], 0);
      if (node.inputs[1] == name) return rows_of(node.inputs[4], 0);
    }
    if (node.op_type == "GatherBlockQuantized" && node.inputs.size() > 1 &&
        node.inputs[1] == name) {
      return rows_of(node.inputs[0], node.axis);
    }
    return 0;
  }

  std::vector<OutlineNode> nodes_;
  std::map<std::string_view, std::vector<int64_t>> shapes_;
  std::map<std::string_view, std::vector<const OutlineNode*>> readers_;
};

}  // namespace

std::map<std::string, int64_t> find_row_limits(std::span<const std::byte> model,
                                               const std::vector<std::string>& inputs) {
  const Graph graph(model);
  std::map<std::string, int64_t> limits;
  for (const std::string& input : inputs) {
    const int64_t limit = graph.row_limit(input);
    if (limit > 0) limits[input] = limit;
  }
  return limits;
}

}  // namespace wshare
