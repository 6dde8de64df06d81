#include "run/ranges.h"

#include <algorithm>
#include <array>
#include <deque>
#include <string_view>
#include <unordered_map>

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
      if (reference.name.empty()) continue;
      stored_.push_back(std::move(reference.shape));
      shapes_[reference.name] = stored_.back();
    }
    for (const OutlineNode& node : nodes_) {
      if (node.constant_shape && !node.outputs.empty())
        shapes_[node.outputs[0]] = *node.constant_shape;
    }
    for (const OutlineNode& node : nodes_) {  // in topological order, as ONNX demands
      if (!is_one_of(kKeepsShape, node.op_type) || node.inputs.empty() || node.outputs.empty())
        continue;
      const auto shape = shapes_.find(node.inputs[0]);
      if (shape != shapes_.end()) shapes_.emplace(node.outputs[0], shape->second);
    }
    for (auto node = nodes_.rbegin(); node != nodes_.rend(); ++node) limit_inputs(*node);
  }

  // Returns the fewest rows of all tables that the values of `input` select from, or 0 if there is
  // none.
  int64_t row_limit(std::string_view input) const {
    const auto limit = limits_.find(input);
    return limit == limits_.end() ? 0 : limit->second;
  }

 private:
  // What holds for the values of an output that are those of an input holds for that, too; readers
  // of the output come later, so their limits are known.
  void limit_inputs(const OutlineNode& node) {
    const bool keeps = is_one_of(kKeepsValues, node.op_type) && !node.outputs.empty();
    const int64_t behind = keeps ? row_limit(node.outputs[0]) : 0;
    for (const std::string_view name : node.inputs) {
      const bool is_value = node.inputs[0] == name || node.op_type == "Concat";
      for (const int64_t rows : {rows_selected(node, name), is_value ? behind : 0}) {
        if (rows <= 0) continue;
        int64_t& limit = limits_.emplace(name, rows).first->second;
        limit = std::min(limit, rows);
      }
    }
  }

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
  std::deque<std::vector<int64_t>> stored_;
  std::unordered_map<std::string_view, std::span<const int64_t>> shapes_;
  std::unordered_map<std::string_view, int64_t> limits_;  // by value
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
