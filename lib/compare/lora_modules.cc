#include "compare/lora_modules.h"

#include <algorithm>
#include <optional>

#include "compare/layers.h"

namespace wshare {
namespace {

// The lower path of a module, without its layer. A scale on x belongs to it only if the layer reads
// the x before that scale: then it is `scaled`.
struct Pair {
  LoraModule plain, scaled;
  int32_t input = kAbsent, scaled_input = kAbsent;
  uint64_t in = 0, out = 0;
};

class Finder {
 public:
  Finder(const ComputeGraph& graph, const ScannedModel& model)
      : graph_(graph), walk_(graph, model) {}

  // A pair may stand on the sum of another one, so the sums found so far count as their layers'.
  std::vector<LoraModule> run() {
    std::map<int32_t, LoraModule> found;  // by the Add
    // A sum further above its layer than read_base() steps is none; so few rounds find all, also
    // where nodes stand in any order.
    size_t before = 1;
    for (int round = 0; round <= kMostSteps && before != 0; ++round) {
      before = found.size();
      for (size_t n = 0; n < graph_.nodes.size(); ++n) {
        const auto add = static_cast<int32_t>(n);
        if (found.count(add) != 0) continue;
        if (std::optional<LoraModule> module = at_sum(add)) {
          below_[module->sum] = module->base_output;
          found.emplace(add, std::move(*module));
        }
      }
      if (found.size() == before) before = 0;
    }
    std::vector<LoraModule> modules;
    for (auto& [add, module] : found) modules.push_back(std::move(module));
    return modules;
  }

 private:
  std::optional<LoraModule> at_sum(int32_t add) const {
    const GraphNode& node = walk_.node_at(add);
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

  // Walks over products with a number, multiplying `scaling` by each.
  int32_t skip_scales(int32_t value, LoraModule& module) const {
    for (int steps = 0; steps < LayerWalk::kMostSteps && walk_.used_once(value); ++steps) {
      const std::optional<LayerWalk::Scaled> scaled = walk_.scaled(value);
      if (!scaled) break;
      module.scaling *= scaled->factor;
      module.nodes.push_back(walk_.value_at(value).producer);
      value = scaled->value;
    }
    return value;
  }

  // Reads the lower path backwards from `value`.
  std::optional<Pair> read_pair(int32_t value, LoraModule module) const {
    if (value == kAbsent) return {};
    const std::optional<Layer> b = walk_.layer_of(skip_scales(value, module), false);
    if (!b || !walk_.used_once(walk_.node_at(b->node).outputs[0])) return {};
    const std::optional<Layer> a = walk_.layer_of(skip_scales(b->input, module), false);
    if (!a || !walk_.used_once(walk_.node_at(a->node).outputs[0])) return {};
    if (a->out != b->in || a->out >= std::min(a->in, b->out)) return {};
    module.a = a->weight;
    module.b = b->weight;
    module.rank = static_cast<int64_t>(a->out);
    module.nodes.insert(module.nodes.end(), {b->node, a->node});
    Pair pair{module, module, a->input, a->input, a->in, b->out};
    pair.scaled_input = skip_scales(a->input, pair.scaled);
    return pair;
  }

  int32_t step_back(int32_t value) const {
    const auto below = below_.find(value);
    return below == below_.end() ? walk_.step_back(value) : below->second;
  }

  std::optional<LoraModule> read_base(const Pair& pair) const {
    int32_t value = pair.plain.base_output;
    for (int steps = 0; steps < kMostSteps && value != kAbsent; ++steps) {
      const std::optional<Layer> layer = walk_.layer_of(value, true);
      if (!layer) {
        value = step_back(value);
        continue;
      }
      const int32_t x = walk_.skip_reshapes(layer->input);
      const bool plain = x == walk_.skip_reshapes(pair.input);
      if (!plain && x != walk_.skip_reshapes(pair.scaled_input)) return {};
      if (layer->in != pair.in || layer->out != pair.out) return {};
      LoraModule module = plain ? pair.plain : pair.scaled;
      module.base_node = layer->node;
      module.weight = layer->weight;
      return module;
    }
    return {};
  }

  static constexpr int kMostSteps = 20;  // back to a layer, also over the sums of other pairs

  const ComputeGraph& graph_;
  LayerWalk walk_;
  std::map<int32_t, int32_t> below_;  // by sum: what was there before the pair
};

}  // namespace

std::vector<LoraModule> find_lora_modules(const ComputeGraph& graph, const ScannedModel& model) {
  return Finder(graph, model).run();
}

void bypass(ComputeGraph& graph, const std::vector<LoraModule>& modules) {
  std::map<int32_t, int32_t> replaced;
  for (const LoraModule& module : modules) {
    for (const int32_t node : module.nodes) graph.nodes[static_cast<size_t>(node)].in_lora = true;
    replaced[module.sum] = module.base_output;
  }
  // Of pairs one after the other, the last sum becomes the output of the layer.
  for (auto& [sum, value] : replaced) {
    for (auto below = replaced.find(value); below != replaced.end(); below = replaced.find(value)) {
      value = below->second;
    }
  }
  // What lies between a sum and its reader (a Cast to the type that it has already) goes with the
  // pair.
  const auto clear = [&](const std::vector<int32_t>& values,
                         std::vector<std::vector<int32_t>>& paths) {
    for (size_t i = 0; i < values.size(); ++i) {
      if (replaced.count(values[i]) != 0) paths[i].clear();
    }
  };
  for (GraphNode& node : graph.nodes) {
    clear(node.inputs, node.input_paths);
    for (auto& [name, body] : node.bodies) clear(body.outputs, body.output_paths);
  }
  clear(graph.main.outputs, graph.main.output_paths);
  for (auto& [scope, border] : graph.others) clear(border.outputs, border.output_paths);
  replace_values(graph, replaced);
}

}  // namespace wshare
