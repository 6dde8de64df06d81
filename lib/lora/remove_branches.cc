#include "lora/remove_branches.h"

#include <onnx/onnx_pb.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "model/keep_if.h"
#include "model/walk.h"

// What depends on A or B is a branch, up to the Add that joins it to the layer:
//
//   y_before_lora ─┬─ Add ─ y          the layer's output becomes y again
//   ... MatMul(B) ─┘

namespace wshare {
namespace {

bool names_any(const onnx::NodeProto& node, const std::set<std::string>& names) {
  return std::any_of(node.input().begin(), node.input().end(),
                     [&](const std::string& input) { return names.count(input) != 0; });
}

// How many operands of nodes and outputs of graphs are each value, in all scopes.
struct UseCount : GraphVisitor {
  std::map<std::string, int>& uses;

  void enter(const WalkPlace<const onnx::GraphProto>& place) {
    for (const onnx::ValueInfoProto& output : place.graph->output()) ++uses[output.name()];
  }
  void node(const onnx::NodeProto& node, const WalkPlace<const onnx::GraphProto>&) {
    for (const std::string& input : node.input()) ++uses[input];
  }
};

class Remover : public GraphVisitor {
 public:
  Remover(const onnx::ModelProto& model, const std::set<std::string>& factors) : branch_(factors) {
    walk_graph(model.graph(), UseCount{{}, uses_});
  }

  void enter(const WalkPlace<onnx::GraphProto>&) { open_.emplace_back(); }

  void after(const onnx::NodeProto& node, const WalkPlace<onnx::GraphProto>&) {
    if (!names_any(node, branch_)) return;
    drop(node);
    const std::string* layer = joined_layer(node);
    if (layer != nullptr) {
      open_.back().sum_of[*layer] = node.output(0);
    } else {
      branch_.insert(node.output().begin(), node.output().end());
    }
  }

  void leave(const WalkPlace<onnx::GraphProto>& place) {
    onnx::GraphProto& graph = *place.graph;
    const auto& gone = open_.back().gone;
    const auto& lost = open_.back().lost;
    const auto& sum_of = open_.back().sum_of;
    // What only branches read goes with them.
    for (int i = graph.node_size() - 1; i >= 0; --i) {
      const onnx::NodeProto& node = graph.node(i);
      const auto is_kept = [&](const std::string& output) {
        return is_read(output) || sum_of.count(output) != 0 || lost.count(output) == 0;
      };
      if (gone.count(&node) == 0 && node.output_size() > 0 &&
          std::none_of(node.output().begin(), node.output().end(), is_kept)) {
        drop(node);
      }
    }
    keep_if(*graph.mutable_node(),
            [&](const onnx::NodeProto& node) { return gone.count(&node) == 0; });
    for (onnx::NodeProto& node : *graph.mutable_node()) {
      for (std::string& output : *node.mutable_output()) {
        if (const auto sum = sum_of.find(output); sum != sum_of.end()) output = sum->second;
      }
    }
    open_.pop_back();
  }

  // True if what is left reads the value `name`.
  bool is_read(const std::string& name) const {
    const auto found = uses_.find(name);
    return found != uses_.end() && found->second > 0;
  }

 private:
  // A graph that the walk is in.
  struct OpenGraph {
    std::set<const onnx::NodeProto*> gone;
    std::set<std::string> lost;                 // what nodes that go have read
    std::map<std::string, std::string> sum_of;  // by the layer's output
  };

  void drop(const onnx::NodeProto& node) {
    open_.back().gone.insert(&node);
    open_.back().lost.insert(node.input().begin(), node.input().end());
    for (const std::string& input : node.input()) --uses_[input];
  }

  // The operand of an Add that no branch gives, where the other one is a branch; else null.
  const std::string* joined_layer(const onnx::NodeProto& node) const {
    if (node.op_type() != "Add" || node.input_size() != 2 || node.output_size() != 1) return {};
    const bool first = branch_.count(node.input(0)) != 0,
               second = branch_.count(node.input(1)) != 0;
    if (first == second) return nullptr;
    return &node.input(first ? 1 : 0);
  }

  std::set<std::string> branch_;  // A, B and what depends on them
  std::map<std::string, int> uses_;
  std::vector<OpenGraph> open_;
};

}  // namespace

void remove_branches(onnx::ModelProto& model, const std::set<std::string>& factors,
                     const std::set<std::string>& defaults) {
  onnx::GraphProto& graph = *model.mutable_graph();
  Remover remover(model, factors);
  walk_graph(graph, remover);
  const auto is_free = [&](const std::string& name) {
    return factors.count(name) != 0 && !remover.is_read(name);
  };
  keep_if(*graph.mutable_initializer(),
          [&](const onnx::TensorProto& tensor) { return !is_free(tensor.name()); });
  keep_if(*graph.mutable_input(), [&](const onnx::ValueInfoProto& input) {
    return !is_free(input.name()) && defaults.count(input.name()) == 0;
  });
}

}  // namespace wshare
