#include "compare/adapter_branches.h"

#include <algorithm>
#include <optional>
#include <set>

#include "compare/layers.h"

// Problem: name what PEFT's other adapters leave in a graph, of which exporters make many forms.
//
// Idea: whatever the form, the branch ends in a sum with the output of a layer, and all that it
// reads is that layer's x, that layer's output and weights. (A residual connection reads what lies
// before x.) What kind it is, a few nodes of it tell.
//
//   DoRA   Add(y, Add(Mul(vector, y), Mul(Mul(vector, B(A(x))), scale)))
//   LoHa   Add(y, MatMul(x, Mul(MatMul(a1, b1), MatMul(a2, b2))))

namespace wshare {
namespace {

constexpr size_t kMostNodes = 64;  // of a branch

class BranchFinder {
 public:
  BranchFinder(const ComputeGraph& graph, const ScannedModel& model) : walk_(graph, model) {}

  std::optional<AdapterBranch> at_sum(const GraphNode& sum) {
    if (sum.op != "Add" || sum.inputs.size() != 2 || sum.in_lora) return std::nullopt;
    for (const size_t branch : {size_t{1}, size_t{0}}) {
      if (!find_layer(sum.inputs[1 - branch])) continue;
      if (!collect(sum.inputs[branch])) continue;
      if (const std::optional<BranchKind> kind = kind_of_branch()) {
        return AdapterBranch{*kind, layer_.weight};
      }
    }
    return std::nullopt;
  }

 private:
  // Goes back from `value` to a layer and remembers what lies between: the forms of its output.
  bool find_layer(int32_t value) {
    outputs_.clear();
    for (int steps = 0; steps < LayerWalk::kMostSteps && value != kAbsent; ++steps) {
      outputs_.insert(value);
      if (const std::optional<Layer> layer = walk_.layer_of(value, true)) {
        layer_ = *layer;
        x_ = walk_.skip_reshapes(layer->input);
        return true;
      }
      value = walk_.step_back(value);
    }
    return false;
  }

  // Collects the nodes of a branch. False if it reads something else than it may.
  bool collect(int32_t value) {
    nodes_.clear();
    reads_x_ = reads_output_ = false;
    std::set<int32_t> seen;
    std::vector<int32_t> open = {value};
    while (!open.empty()) {
      const int32_t at = open.back();
      open.pop_back();
      if (at == kAbsent || walk_.is_tensor(at) || !seen.insert(at).second) continue;
      if (outputs_.count(at) != 0) {
        reads_output_ = true;
      } else if (walk_.skip_reshapes(at) == x_) {
        reads_x_ = true;
      } else {
        const GraphNode* node = walk_.producer_of(at);
        if (node == nullptr || !node->bodies.empty() || nodes_.size() == kMostNodes ||
            node->inputs.size() > kMostNodes) {
          return false;
        }
        nodes_.push_back(node);
        open.insert(open.end(), node->inputs.begin(), node->inputs.end());
      }
    }
    return reads_x_;
  }

  std::optional<BranchKind> kind_of_branch() const {
    const auto any = [&](const auto& is_so) {
      return std::any_of(nodes_.begin(), nodes_.end(), is_so);
    };
    if (any([&](const GraphNode* node) { return is_product_of_pairs(*node); })) {
      return BranchKind::kLoha;
    }
    const bool thin = any([&](const GraphNode* node) { return is_thin_pair(*node); });
    if (thin) return reads_output_ ? BranchKind::kDora : BranchKind::kOther;
    const bool full = any([&](const GraphNode* node) { return is_as_large(*node); });
    return full && !reads_output_ ? std::optional(BranchKind::kFullSize) : std::nullopt;
  }

  // Mul(MatMul(a1, b1), MatMul(a2, b2)) of tensors.
  bool is_product_of_pairs(const GraphNode& node) const {
    return node.op == "Mul" && node.inputs.size() == 2 &&
           std::all_of(node.inputs.begin(), node.inputs.end(), [&](int32_t input) {
             const GraphNode* factor = walk_.producer_of(input);
             return factor != nullptr && factor->op == "MatMul" && factor->inputs.size() == 2 &&
                    walk_.is_tensor(factor->inputs[0]) && walk_.is_tensor(factor->inputs[1]);
           });
  }

  // The second of two layers, of which the first reads x and which together are as large as the
  // adapted one.
  bool is_thin_pair(const GraphNode& node) const {
    if (node.outputs.empty()) return false;
    const std::optional<Layer> b = walk_.layer_of(node.outputs[0], true);
    if (!b || b->out != layer_.out || b->in >= std::min(layer_.in, layer_.out)) return false;
    int32_t below = b->input;
    for (int steps = 0; steps < LayerWalk::kMostSteps; ++steps) {
      const GraphNode* between = walk_.producer_of(below);
      if (between == nullptr || between->inputs.empty()) return false;
      if (const std::optional<Layer> a = walk_.layer_of(below, true)) {
        return a->in == layer_.in && a->out == b->in && walk_.skip_reshapes(a->input) == x_;
      }
      below = between->inputs[0];
    }
    return false;
  }

  bool is_as_large(const GraphNode& node) const {
    if (node.outputs.empty()) return false;
    const std::optional<Layer> layer = walk_.layer_of(node.outputs[0], true);
    return layer && layer->in == layer_.in && layer->out == layer_.out &&
           walk_.skip_reshapes(layer->input) == x_;
  }

  LayerWalk walk_;
  Layer layer_;
  int32_t x_ = kAbsent;
  std::set<int32_t> outputs_;
  std::vector<const GraphNode*> nodes_;
  bool reads_x_ = false, reads_output_ = false;
};

}  // namespace

const char* text_of(BranchKind kind) {
  switch (kind) {
    case BranchKind::kDora:
      return "DoRA branch";
    case BranchKind::kLoha:
      return "LoHa branch";
    case BranchKind::kFullSize:
      return "branch of full size";
    case BranchKind::kOther:
      return "adapter branch";
  }
  return "";
}

std::vector<AdapterBranch> find_adapter_branches(const ComputeGraph& graph,
                                                 const ScannedModel& model,
                                                 const std::vector<int32_t>& counterparts) {
  std::vector<AdapterBranch> branches;
  BranchFinder finder(graph, model);
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    if (counterparts[n] != kAbsent) continue;
    if (const std::optional<AdapterBranch> branch = finder.at_sum(graph.nodes[n])) {
      branches.push_back(*branch);
    }
  }
  return branches;
}

}  // namespace wshare
