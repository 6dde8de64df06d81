#include "compare/lora_modules.h"

#include <algorithm>
#include <optional>

#include "compare/matrix.h"
#include "format/dtype.h"

namespace wshare {
namespace {

// A layer's weight as x[in] -> y[out].
struct Layer {
  int32_t node = kAbsent;
  int32_t weight = kAbsent;
  int32_t input = kAbsent;
  uint64_t in = 0, out = 0;
};

// The lower path of a module, without its layer. A scale on x belongs to it only if the layer reads
// the x before that scale: then it is `scaled`.
struct Pair {
  LoraModule plain, scaled;
  int32_t input = kAbsent, scaled_input = kAbsent;
  uint64_t in = 0, out = 0;
};

constexpr int kMostSteps = 6;  // over biases and reshapes

class Finder {
 public:
  Finder(const ComputeGraph& graph, const ScannedModel& model) : graph_(graph), model_(model) {}

  std::optional<LoraModule> at_sum(int32_t add) const {
    const GraphNode& node = node_at(add);
    if (node.op != "Add" || node.inputs.size() != 2 || node.outputs.size() != 1) {
      return std::nullopt;
    }
    for (const size_t low : {size_t{1}, size_t{0}}) {
      LoraModule module;
      module.nodes.push_back(add);
      module.sum = node.outputs[0];
      module.base_output = node.inputs[1 - low];
      if (const std::optional<Pair> pair = read_pair(node.inputs[low], std::move(module))) {
        if (std::optional<LoraModule> found = read_base(*pair)) return found;
      }
    }
    return std::nullopt;
  }

 private:
  const GraphNode& node_at(int32_t node) const { return graph_.nodes[static_cast<size_t>(node)]; }
  const GraphValue& value_at(int32_t value) const {
    return graph_.values[static_cast<size_t>(value)];
  }
  const TensorRef& tensor_of(int32_t value) const {
    return model_.tensors[static_cast<size_t>(value_at(value).tensor)];
  }
  bool is_tensor(int32_t value) const {
    return value != kAbsent && value_at(value).tensor != kAbsent;
  }

  // The node that gives `value`, or nothing for tensors and inputs.
  const GraphNode* producer_of(int32_t value) const {
    if (value == kAbsent || value_at(value).producer == kAbsent) return nullptr;
    return &node_at(value_at(value).producer);
  }

  // The layer that gives `value`. `bias` says whether a Gemm or Conv may have one.
  std::optional<Layer> layer_of(int32_t value, bool bias) const {
    const GraphNode* node = producer_of(value);
    if (node == nullptr || node->inputs.size() < 2 || !is_tensor(node->inputs[1])) return {};
    if (node->op != "MatMul" && node->op != "Gemm" && node->op != "Conv") return {};
    const bool has_bias = node->inputs.size() > 2 && node->inputs[2] != kAbsent;
    if (node->inputs[0] == kAbsent || is_tensor(node->inputs[0]) || (has_bias && !bias)) return {};
    const std::optional<MatrixView> matrix = matrix_of(tensor_of(node->inputs[1]));
    if (!matrix) return {};
    Layer layer{value_at(value).producer, node->inputs[1], node->inputs[0], matrix->rows,
                matrix->cols};
    if (value_at(layer.weight).transposed != reads_out_in(*node)) std::swap(layer.in, layer.out);
    return layer;
  }

  // Walks over products with a number, multiplying `scaling` by each.
  int32_t skip_scales(int32_t value, LoraModule& module) const {
    for (int steps = 0; steps < kMostSteps; ++steps) {
      const GraphNode* node = producer_of(value);
      if (node == nullptr || node->op != "Mul" || node->inputs.size() != 2 || !used_once(value)) {
        return value;
      }
      const size_t number = is_tensor(node->inputs[0]) ? 0 : 1;
      if (!is_tensor(node->inputs[number]) || is_tensor(node->inputs[1 - number])) return value;
      const TensorRef& tensor = tensor_of(node->inputs[number]);
      if (!holds_floats(tensor) || element_count(tensor.shape) != 1u) return value;
      module.scaling *= element_at(tensor, 0);
      module.nodes.push_back(value_at(value).producer);
      value = node->inputs[1 - number];
    }
    return value;
  }

  bool used_once(int32_t value) const { return value_at(value).uses.size() == 1; }

  // Reads the lower path backwards from `value`.
  std::optional<Pair> read_pair(int32_t value, LoraModule module) const {
    const std::optional<Layer> b = layer_of(skip_scales(value, module), false);
    if (!b || !used_once(node_at(b->node).outputs[0])) return {};
    const std::optional<Layer> a = layer_of(skip_scales(b->input, module), false);
    if (!a || !used_once(node_at(a->node).outputs[0])) return {};
    if (a->out != b->in || a->out >= std::min(a->in, b->out)) return {};
    module.a = a->weight;
    module.b = b->weight;
    module.rank = static_cast<int64_t>(a->out);
    module.nodes.insert(module.nodes.end(), {b->node, a->node});
    Pair pair{module, module, a->input, a->input, a->in, b->out};
    pair.scaled_input = skip_scales(a->input, pair.scaled);
    return pair;
  }

  int32_t skip_reshapes(int32_t value) const {
    for (int steps = 0; steps < kMostSteps; ++steps) {
      const GraphNode* node = producer_of(value);
      if (node == nullptr || node->op != "Reshape" || node->inputs.empty()) return value;
      value = node->inputs[0];
    }
    return value;
  }

  // The value before `value` on the way from a layer's output back to the layer: over its bias, and
  // over the Reshape pair that some exporters put around a Gemm. kAbsent where the way ends.
  int32_t step_back(int32_t value) const {
    const GraphNode* node = producer_of(value);
    if (node == nullptr || node->inputs.empty()) return kAbsent;
    if (node->op == "Reshape") return node->inputs[0];
    if (node->op != "Add" || node->inputs.size() != 2) return kAbsent;
    if (is_tensor(node->inputs[1])) return node->inputs[0];
    return is_tensor(node->inputs[0]) ? node->inputs[1] : kAbsent;
  }

  std::optional<LoraModule> read_base(const Pair& pair) const {
    int32_t value = pair.plain.base_output;
    for (int steps = 0; steps < kMostSteps && value != kAbsent; ++steps) {
      const std::optional<Layer> layer = layer_of(value, true);
      if (!layer) {
        value = step_back(value);
        continue;
      }
      const int32_t x = skip_reshapes(layer->input);
      const bool plain = x == skip_reshapes(pair.input);
      if (!plain && x != skip_reshapes(pair.scaled_input)) return {};
      if (layer->in != pair.in || layer->out != pair.out) return {};
      LoraModule module = plain ? pair.plain : pair.scaled;
      module.base_node = layer->node;
      module.weight = layer->weight;
      return module;
    }
    return {};
  }

  const ComputeGraph& graph_;
  const ScannedModel& model_;
};

}  // namespace

std::vector<LoraModule> find_lora_modules(const ComputeGraph& graph, const ScannedModel& model) {
  std::vector<LoraModule> modules;
  const Finder finder(graph, model);
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    if (std::optional<LoraModule> module = finder.at_sum(static_cast<int32_t>(n))) {
      modules.push_back(std::move(*module));
    }
  }
  return modules;
}

void bypass(ComputeGraph& graph, const std::vector<LoraModule>& modules) {
  std::map<int32_t, int32_t> replaced;
  for (const LoraModule& module : modules) {
    for (const int32_t node : module.nodes) graph.nodes[static_cast<size_t>(node)].in_lora = true;
    replaced[module.sum] = module.base_output;
  }
  // What lies between a sum and its reader (a Cast to the type that it has already) goes with the
  // pair.
  for (GraphNode& node : graph.nodes) {
    for (size_t slot = 0; slot < node.inputs.size(); ++slot) {
      if (replaced.count(node.inputs[slot]) != 0) node.input_paths[slot].clear();
    }
  }
  replace_values(graph, replaced);
}

bool reads_out_in(const GraphNode& node) {
  return node.op == "Conv" || (node.op == "Gemm" && node.transposes_b);
}

}  // namespace wshare
