#include "compare/look_through.h"

#include <onnx/onnx_pb.h>

#include <set>
#include <string>

#include "wshare/error.h"

namespace wshare {
namespace {

const std::set<std::string>& pass_through_ops() {
  static const std::set<std::string> ops = {"Identity",
                                            "Cast",
                                            "CastLike",
                                            "Dropout",
                                            "QuantizeLinear",
                                            "DequantizeLinear",
                                            "com.microsoft:QuantizeLinear",
                                            "com.microsoft:DequantizeLinear"};
  return ops;
}

class LookThrough {
 public:
  explicit LookThrough(ComputeGraph& graph) : graph_(graph) {}

  void run();

 private:
  // None of these operators has more than four inputs.
  bool passes(const GraphNode& node) const {
    constexpr size_t kMostInputs = 4;
    return !node.inputs.empty() && node.inputs.size() <= kMostInputs && node.inputs[0] != kAbsent &&
           !node.outputs.empty() && node.outputs[0] != kAbsent &&
           pass_through_ops().count(node.op) != 0;
  }

  const GraphNode* producer_of(int32_t value) const {
    const int32_t producer = graph_.values[static_cast<size_t>(value)].producer;
    return producer == kAbsent ? nullptr : &graph_.nodes[static_cast<size_t>(producer)];
  }

  // Follows `value` back to what is no copy of something else. The count ends a circle of a broken
  // model.
  int32_t source_of(int32_t value) const {
    for (size_t steps = 0; steps <= graph_.nodes.size(); ++steps) {
      spend();
      const GraphNode* node = producer_of(value);
      if (node == nullptr || !passes(*node) || node->outputs[0] != value) break;
      value = node->inputs[0];
    }
    return value;
  }

  // A chain of such nodes is followed once for each of its readers, and each remembers it.
  void spend() const {
    const uint64_t most = (uint64_t{1} << 20) + 64 * graph_.nodes.size();
    if (++steps_ <= most) return;
    throw Error(ErrorCode::kUnsupported,
                "chains of nodes that only hand a value on (Identity, Cast and the like) are read "
                "too often: more than " +
                    std::to_string(most) + " steps to follow them");
  }

  bool is_stored_transpose(const GraphNode& node) const;
  void number_passed();
  using Path = std::vector<int32_t>;
  Path trace(int32_t& value) const;
  void remove_passed();

  ComputeGraph& graph_;
  std::vector<int32_t> passed_;  // [node]: number in `passed`, or kAbsent
  mutable uint64_t steps_ = 0;
};

// True for a Transpose of two axes whose input is a tensor of the model.
bool LookThrough::is_stored_transpose(const GraphNode& node) const {
  if (node.op != "Transpose" || node.inputs.size() != 1 || node.outputs.size() != 1) return false;
  if (node.inputs[0] == kAbsent || node.outputs[0] == kAbsent) return false;
  if (graph_.values[static_cast<size_t>(source_of(node.inputs[0]))].tensor == kAbsent) return false;
  onnx::AttributeProto perm;
  if (node.attributes.empty()) return true;  // all axes reversed; a matrix is checked by its user
  return perm.ParseFromString(node.attributes) && perm.ints_size() == 2 && perm.ints(0) == 1;
}

// Moves nodes that are looked through to `passed`; the rest reads their sources.
void LookThrough::run() {
  number_passed();
  const auto look = [&](std::vector<int32_t>& values, std::vector<std::vector<int32_t>>& paths) {
    for (int32_t& value : values) paths.push_back(value == kAbsent ? Path{} : trace(value));
  };
  for (size_t n = 0; n < graph_.nodes.size(); ++n) {
    GraphNode& node = graph_.nodes[n];
    if (passed_[n] == kAbsent) {
      look(node.inputs, node.input_paths);
    } else {  // paths of others lead over its first input, which stays
      for (size_t i = 1; i < node.inputs.size(); ++i) {
        if (node.inputs[i] != kAbsent) trace(node.inputs[i]);
      }
    }
    for (auto& [name, body] : node.bodies) look(body.outputs, body.output_paths);
  }
  look(graph_.main.outputs, graph_.main.output_paths);
  for (auto& [scope, border] : graph_.others) look(border.outputs, border.output_paths);
  remove_passed();
  replace_values(graph_, {});
  for (size_t v = 0; v < graph_.values.size(); ++v) {
    const int32_t tensor = graph_.values[v].tensor;
    if (tensor != kAbsent) {
      graph_.views[static_cast<size_t>(tensor)].push_back(static_cast<int32_t>(v));
    }
  }
}

// Gives nodes that are looked through their numbers in `passed`, and makes the outputs of stored
// transposes views of their tensors.
void LookThrough::number_passed() {
  passed_.assign(graph_.nodes.size(), kAbsent);
  auto next = static_cast<int32_t>(graph_.passed.size());
  for (size_t n = 0; n < graph_.nodes.size(); ++n) {
    const GraphNode& node = graph_.nodes[n];
    const bool transpose = is_stored_transpose(node);
    if (transpose) {
      const GraphValue& source = graph_.values[static_cast<size_t>(source_of(node.inputs[0]))];
      GraphValue& view = graph_.values[static_cast<size_t>(node.outputs[0])];
      view.tensor = source.tensor;
      view.transposed = !source.transposed;
    }
    if (transpose || passes(node)) passed_[n] = next++;
  }
}

// Replaces `value` by its source and returns the nodes on the way. A view stays itself, with the
// nodes that lead to its tensor.
LookThrough::Path LookThrough::trace(int32_t& value) const {
  Path path;
  int32_t at = value;
  while (path.size() <= graph_.nodes.size()) {
    const int32_t producer = graph_.values[static_cast<size_t>(at)].producer;
    if (producer == kAbsent || passed_[static_cast<size_t>(producer)] == kAbsent) break;
    spend();
    const bool is_view = graph_.values[static_cast<size_t>(value)].tensor != kAbsent;
    path.push_back(passed_[static_cast<size_t>(producer)]);
    at = graph_.nodes[static_cast<size_t>(producer)].inputs[0];
    if (!is_view) value = at;
  }
  return path;
}

void LookThrough::remove_passed() {
  std::vector<GraphNode> kept;
  for (size_t n = 0; n < graph_.nodes.size(); ++n) {
    const bool passed = passed_[n] != kAbsent;
    for (const int32_t output : graph_.nodes[n].outputs) {
      if (output == kAbsent) continue;
      graph_.values[static_cast<size_t>(output)].producer =
          passed ? kAbsent : static_cast<int32_t>(kept.size());
    }
    (passed ? graph_.passed : kept).push_back(std::move(graph_.nodes[n]));
  }
  graph_.nodes = std::move(kept);
}

}  // namespace

void look_through(ComputeGraph& graph) { LookThrough(graph).run(); }

}  // namespace wshare
