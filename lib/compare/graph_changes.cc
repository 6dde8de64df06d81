#include "compare/graph_changes.h"

#include <onnx/onnx_pb.h>

#include <algorithm>
#include <map>
#include <set>

#include "compare/interfaces.h"
#include "compare/opset_moves.h"
#include "compare/wiring.h"
#include "format/dtype.h"
#include "format/scope.h"
#include "util/text.h"

// Problem: may the graph of a stand for that of b, so that b needs only its weights?
//
// Idea: go backwards from b's outputs. If every node on the way has a counterpart with the same
// attributes that reads the same, and the outputs are the same, then a computes what b computes,
// whatever else the models hold. Then one tensor of a must not stand for two of b.

namespace wshare {
namespace {

using Nodes = std::vector<bool>;  // of a ComputeGraph

// Marks the nodes that the outputs of a graph need, also those in subgraphs and functions.
class Needed {
 public:
  explicit Needed(const ComputeGraph& graph) : graph_(graph), nodes_(graph.nodes.size()) {}

  Nodes run() {
    need(graph_.main.outputs, graph_.main.output_paths);
    for (const auto& [scope, border] : graph_.others) {
      if (is_in_function(scope)) need(border.outputs, border.output_paths);
    }
    while (!open_.empty()) {
      const GraphNode& node = graph_.nodes[open_.back()];
      open_.pop_back();
      need(node.inputs, node.input_paths);
      for (const auto& [name, body] : node.bodies) need(body.outputs, body.output_paths);
    }
    return std::move(nodes_);
  }

 private:
  void need(const std::vector<int32_t>& values, const std::vector<std::vector<int32_t>>& paths) {
    for (const int32_t value : values) need(value);
    for (const std::vector<int32_t>& path : paths) {
      for (const int32_t passed : path) {  // its first input is what it hands on: one of `values`
        const std::vector<int32_t>& inputs = graph_.passed[static_cast<size_t>(passed)].inputs;
        for (size_t i = 1; i < inputs.size(); ++i) need(inputs[i]);
      }
    }
  }

  void need(int32_t value) {
    if (value == kAbsent) return;
    const int32_t producer = graph_.values[static_cast<size_t>(value)].producer;
    if (producer == kAbsent || nodes_[static_cast<size_t>(producer)]) return;
    nodes_[static_cast<size_t>(producer)] = true;
    open_.push_back(static_cast<size_t>(producer));
  }

  const ComputeGraph& graph_;
  Nodes nodes_;
  std::vector<size_t> open_;
};

// Nodes of one operator, of which the first is shown.
struct Counted {
  uint64_t count = 0;
  std::string first;
};
using ByOperator = std::map<std::string, Counted>;

void count(ByOperator& by_operator, const ComputeGraph& graph, const GraphNode& node) {
  Counted& counted = by_operator[node.op];
  if (counted.count++ == 0) counted.first = label_of(graph, node);
}

void add_reasons(const ByOperator& by_operator, const std::string& before, const std::string& after,
                 std::vector<std::string>& reasons) {
  for (const auto& [op, counted] : by_operator) {
    reasons.push_back(before + std::to_string(counted.count) + " " + op + after +
                      " (first: " + in_quotes(counted.first) + ")");
  }
}

class Comparer {
 public:
  Comparer(const ScannedModel& a, const ScannedModel& b, const ModelComparison& comparison)
      : a_(a), b_(b), comparison_(comparison), wiring_(a, b, comparison, Wires::kAsMeant) {}

  void run(const std::map<std::string, std::string>& renamed, std::vector<std::string>& reasons) {
    if (!comparison_.lora_a.empty()) {
      reasons.push_back("lacks " + std::to_string(comparison_.lora_a.size()) + " LoRA pairs");
    }
    count_branches(reasons);
    compare_nodes(reasons);
    const ComputeGraph& graph_a = comparison_.graph_a;
    const ComputeGraph& graph_b = comparison_.graph_b;
    compare_outputs(graph_a.main, graph_b.main, renamed, reasons);
    for (const auto& [scope, border] : graph_b.others) {
      const auto in_a = graph_a.others.find(scope);
      if (!is_in_function(scope) || in_a == graph_a.others.end()) continue;
      if (!same_border(in_a->second, border)) {
        reasons.push_back("has other outputs of " + in_quotes(scope));
      }
    }
    compare_tensors(reasons);
  }

 private:
  const GraphNode& in_a(int32_t n) const {
    return comparison_.graph_a.nodes[static_cast<size_t>(n)];
  }

  void count_branches(std::vector<std::string>& reasons) const {
    std::map<std::string, Counted> kinds;
    for (const AdapterBranch& branch : comparison_.branches_b) {
      Counted& counted = kinds[text_of(branch.kind)];
      if (counted.count++ != 0) continue;
      const GraphValue& weight = comparison_.graph_b.values[static_cast<size_t>(branch.weight)];
      counted.first = b_.tensors[static_cast<size_t>(weight.tensor)].name;
    }
    for (const auto& [kind, counted] : kinds) {
      reasons.push_back("has a " + kind + " beside " + std::to_string(counted.count) +
                        " layers (first: " + in_quotes(counted.first) + ")");
    }
  }

  void compare_nodes(std::vector<std::string>& reasons) {
    ByOperator added, removed, attributes, rewired;
    const ComputeGraph& graph_a = comparison_.graph_a;
    const ComputeGraph& graph_b = comparison_.graph_b;
    const Nodes needed_a = Needed(graph_a).run();
    const Nodes needed_b = Needed(graph_b).run();
    for (size_t n = 0; n < graph_b.nodes.size(); ++n) {
      const GraphNode& node = graph_b.nodes[n];
      if (!needed_b[n]) continue;
      const int32_t other = comparison_.alignment.node_of_b[n];
      if (other == kAbsent) {
        count(added, graph_b, node);
        continue;
      }
      if (!same_attributes(in_a(other), node)) count(attributes, graph_b, node);
      if (!wiring_.same_inputs(in_a(other), node, &read_) || !same_bodies(in_a(other), node)) {
        count(rewired, graph_b, node);
      }
    }
    for (size_t n = 0; n < graph_a.nodes.size(); ++n) {
      const int32_t other = comparison_.alignment.node_of_a[n];
      if (needed_a[n] && (other == kAbsent || !needed_b[static_cast<size_t>(other)])) {
        count(removed, graph_a, graph_a.nodes[n]);
      }
    }
    add_reasons(added, "has ", " more", reasons);
    add_reasons(removed, "lacks ", "", reasons);
    add_reasons(attributes, "has other attributes in ", "", reasons);
    add_reasons(rewired, "has other inputs of ", "", reasons);
  }

  // Tensors in attributes are no weights that a graph could be given.
  bool same_attributes(const GraphNode& a, const GraphNode& b) const {
    const auto same_content = [&](const auto& x, const auto& y) {
      return x.first == y.first && comparison_.contents_a[static_cast<size_t>(x.second)] ==
                                       comparison_.contents_b[static_cast<size_t>(y.second)];
    };
    return (a.attributes == b.attributes || same_attributes_but_moved(a, b)) &&
           std::equal(a.attribute_tensors.begin(), a.attribute_tensors.end(),
                      b.attribute_tensors.begin(), b.attribute_tensors.end(), same_content);
  }

  bool same_bodies(const GraphNode& a, const GraphNode& b) {
    return std::equal(a.bodies.begin(), a.bodies.end(), b.bodies.begin(), b.bodies.end(),
                      [&](const auto& x, const auto& y) {
                        return x.first == y.first && same_border(x.second, y.second);
                      });
  }

  // By position, as the inputs and outputs of subgraphs and functions are.
  bool same_border(const GraphBorder& a, const GraphBorder& b) {
    if (a.inputs.size() != b.inputs.size() || a.outputs.size() != b.outputs.size()) return false;
    for (size_t i = 0; i < a.outputs.size(); ++i) {
      if (!wiring_.same(a.outputs[i], a.output_paths[i], b.outputs[i], b.output_paths[i], &read_)) {
        return false;
      }
    }
    return true;
  }

  // By name. That one is missing is a difference of types and shapes.
  void compare_outputs(const GraphBorder& a, const GraphBorder& b,
                       const std::map<std::string, std::string>& renamed,
                       std::vector<std::string>& reasons) {
    const std::unordered_map<std::string_view, size_t> in_a = first_places(a.output_names);
    for (size_t i = 0; i < b.outputs.size(); ++i) {
      const auto other_name = renamed.find(std::string(b.output_names[i]));
      const auto other =
          in_a.find(other_name == renamed.end() ? b.output_names[i] : other_name->second);
      if (other == in_a.end()) continue;
      const size_t at = other->second;
      if (!wiring_.same(a.outputs[at], a.output_paths[at], b.outputs[i], b.output_paths[i],
                        &read_)) {
        reasons.push_back("computes output " + in_quotes(b.output_names[i]) + " from other values");
      }
    }
  }

  // Each tensor of a gets the place of one content, in one type.
  void compare_tensors(std::vector<std::string>& reasons) const {
    std::map<int32_t, OperandPair> of_a;
    std::map<std::string, std::vector<int32_t>> casts;  // tensors of b
    std::set<std::string> split;
    for (const OperandPair& place : read_) {
      const TensorRef& a = a_.tensors[static_cast<size_t>(place.a)];
      const TensorRef& b = b_.tensors[static_cast<size_t>(place.b)];
      if (a.dtype != b.dtype) {
        casts[dtype_text(b.dtype) + ", not as " + dtype_text(a.dtype)].push_back(place.b);
      }
      const OperandPair& first = of_a.emplace(place.a, place).first->second;
      if (comparison_.contents_b[static_cast<size_t>(first.b)] !=
              comparison_.contents_b[static_cast<size_t>(place.b)] ||
          first.transposed != place.transposed) {
        const TensorRef& one = b_.tensors[static_cast<size_t>(first.b)];
        split.insert("has two tensors, " + in_quotes(one.name) + " and " + in_quotes(b.name) +
                     ", in place of " + in_quotes(a.name));
      }
    }
    for (const auto& [types, tensors] : casts) {
      const std::set<int32_t> distinct(tensors.begin(), tensors.end());
      const TensorRef& first = b_.tensors[static_cast<size_t>(tensors[0])];
      reasons.push_back("has tensors as " + types + " (" + std::to_string(distinct.size()) +
                        ", first: " + in_quotes(first.name) + ")");
    }
    reasons.insert(reasons.end(), split.begin(), split.end());
  }

  static std::string dtype_text(int32_t number) {
    const std::optional<Dtype> dtype = find_dtype(number);
    return dtype ? std::string(dtype->name) : "type " + std::to_string(number);
  }

  const ScannedModel& a_;
  const ScannedModel& b_;
  const ModelComparison& comparison_;
  Wiring wiring_;
  std::vector<OperandPair> read_;
};

}  // namespace

GraphChanges find_graph_changes(const ComparisonBase& a, const ScannedModel& b,
                                const ModelComparison& comparison) {
  GraphChanges changes;
  Skeleton skeleton_b = b.file.skeleton();
  changes.renamed_outputs = find_renamed_outputs(a.proto(), skeleton_b.model());
  compare_interfaces(a.proto(), skeleton_b.model(), changes.renamed_outputs, changes.reasons);
  compare_opsets(a.proto(), skeleton_b.model(), changes.notes);
  Comparer(a.model(), b, comparison).run(changes.renamed_outputs, changes.reasons);
  return changes;
}

}  // namespace wshare
