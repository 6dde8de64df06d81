#include "compare/signatures.h"

#include <algorithm>
#include <functional>
#include <set>

namespace wshare {
namespace {

constexpr size_t kStepsUp = 6;

uint64_t mix(uint64_t seed, uint64_t value) {
  uint64_t bits = (seed ^ value) + 0x9e3779b97f4a7c15;
  bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9;
  bits = (bits ^ (bits >> 27)) * 0x94d049bb133111eb;
  return bits ^ (bits >> 31);
}

uint64_t of_node(const GraphNode& node) {
  return mix(std::hash<std::string>{}(paired_op(node)), std::hash<std::string>{}(node.traits));
}

const GraphValue& value_at(const ComputeGraph& graph, int32_t value) {
  return graph.values[static_cast<size_t>(value)];
}

uint64_t below(const ComputeGraph& graph, const GraphNode& node,
               const std::vector<uint64_t>& before) {
  uint64_t result = of_node(node);
  for (const int32_t output : node.outputs) {
    if (output == kAbsent) continue;
    std::vector<uint64_t> users;  // sorted: their order in the file says nothing
    for (const Use& use : value_at(graph, output).uses) {
      const GraphNode& user = graph.nodes[static_cast<size_t>(use.node)];
      const uint64_t slot = is_commutative(user.op) ? 0 : use.slot;
      users.push_back(mix(before[static_cast<size_t>(use.node)], slot));
    }
    std::sort(users.begin(), users.end());
    for (const uint64_t user : users) result = mix(result, user);
    result = mix(result, users.size());
  }
  return result;
}

uint64_t above(const ComputeGraph& graph, const GraphNode& node,
               const std::vector<uint64_t>& before) {
  std::vector<uint64_t> sources;
  for (const int32_t input : node.inputs) {
    uint64_t source = 1;
    if (input != kAbsent && value_at(graph, input).tensor != kAbsent) source = 2;
    if (input != kAbsent && value_at(graph, input).producer != kAbsent) {
      source = before[static_cast<size_t>(value_at(graph, input).producer)];
    }
    sources.push_back(source);
  }
  if (is_commutative(node.op)) std::sort(sources.begin(), sources.end());
  uint64_t result = of_node(node);
  for (const uint64_t source : sources) result = mix(result, source);
  return result;
}

}  // namespace

bool is_commutative(const std::string& op) {
  static const std::set<std::string> ops = {"Add", "Mul",   "And", "Or",
                                            "Xor", "Equal", "Max", "Min"};
  return ops.count(op) != 0;
}

Signatures compute_signatures(const ComputeGraph& graph) {
  Signatures signatures;
  std::vector<uint64_t> start;
  for (const GraphNode& node : graph.nodes) start.push_back(of_node(node));
  signatures.below.push_back(start);
  signatures.above = start;
  for (size_t step = 0; step < std::max(kSignatureSteps, kStepsUp); ++step) {
    std::vector<uint64_t> down, up;
    for (const GraphNode& node : graph.nodes) {
      down.push_back(below(graph, node, signatures.below.back()));
      if (step < kStepsUp) up.push_back(above(graph, node, signatures.above));
    }
    signatures.below.push_back(std::move(down));
    if (step < kStepsUp) signatures.above = std::move(up);
  }
  return signatures;
}

}  // namespace wshare
