#include "compare/wiring.h"

#include <algorithm>

#include "compare/opset_moves.h"
#include "compare/signatures.h"

namespace wshare {

Wiring::Wiring(const ScannedModel& a, const ScannedModel& b, const ModelComparison& comparison,
               Wires wires)
    : model_a_(a), model_b_(b), comparison_(comparison), wires_(wires) {
  for (const TensorMatch& match : comparison.tensors) {
    if (match.b != kAbsent) match_[match.b] = &match;
  }
}

bool Wiring::same_inputs(const GraphNode& a, const GraphNode& b,
                         std::vector<OperandPair>* read) const {
  const size_t count = std::max(a.inputs.size(), b.inputs.size());
  if (wires_ == Wires::kAsWritten && a.inputs.size() != b.inputs.size()) return false;
  const auto fits = [&](bool crosswise) {
    std::vector<OperandPair> found;
    for (size_t i = 0; i < count; ++i) {
      if (!same_input(a, i, b, crosswise ? count - 1 - i : i, &found)) return false;
    }
    if (read != nullptr) read->insert(read->end(), found.begin(), found.end());
    return true;
  };
  return fits(false) || (is_commutative(a.op) && count == 2 && fits(true));
}

bool Wiring::same_input(const GraphNode& a, size_t slot_a, const GraphNode& b, size_t slot_b,
                        std::vector<OperandPair>* read) const {
  const bool in_a = slot_a < a.inputs.size() && a.inputs[slot_a] != kAbsent;
  const bool in_b = slot_b < b.inputs.size() && b.inputs[slot_b] != kAbsent;
  if (in_a && in_b) {
    const bool flipped =
        wires_ == Wires::kAsMeant && slot_a == 1 && slot_b == 1 && a.transposes_b != b.transposes_b;
    if (flipped) {
      return same_ways(a.input_paths[1], b.input_paths[1], read) &&
             same_value(a.inputs[1], b.inputs[1], true, read);
    }
    return same(a.inputs[slot_a], a.input_paths[slot_a], b.inputs[slot_b], b.input_paths[slot_b],
                read);
  }
  if (!in_a && !in_b) return true;
  return wires_ == Wires::kAsMeant && slot_a == slot_b && is_moved(a, b, slot_a);
}

// True if one has as a constant input what the other has as an attribute.
bool Wiring::is_moved(const GraphNode& a, const GraphNode& b, size_t slot) const {
  const bool by_a = slot < a.inputs.size() && a.inputs[slot] != kAbsent;
  const ComputeGraph& graph = by_a ? comparison_.graph_a : comparison_.graph_b;
  const int32_t input = by_a ? a.inputs[slot] : b.inputs[slot];
  const int32_t tensor = graph.values[static_cast<size_t>(input)].tensor;
  const std::optional<std::vector<int64_t>> attribute = moved_integers(by_a ? b : a, slot);
  return tensor != kAbsent && attribute &&
         integers_of((by_a ? model_a_ : model_b_).tensors[static_cast<size_t>(tensor)]) ==
             attribute;
}

// The nodes of a path that make a difference.
std::vector<int32_t> Wiring::significant(const ComputeGraph& graph,
                                         const std::vector<int32_t>& path) const {
  std::vector<int32_t> result;
  for (const int32_t number : path) {
    const GraphNode& node = graph.passed[static_cast<size_t>(number)];
    // A Dropout that may be told to train is none. That stored transposes fit, same_tensor() sees.
    const bool hands_on = node.op == "Identity" || node.op == "Transpose" ||
                          (node.op == "Dropout" && node.inputs.size() < 3);
    if (wires_ == Wires::kAsWritten || !hands_on) result.push_back(number);
  }
  return result;
}

bool Wiring::same(int32_t a, const std::vector<int32_t>& path_a, int32_t b,
                  const std::vector<int32_t>& path_b, std::vector<OperandPair>* read) const {
  return same_value(a, b, false, read) && same_ways(path_a, path_b, read);
}

bool Wiring::same_ways(const std::vector<int32_t>& path_a, const std::vector<int32_t>& path_b,
                       std::vector<OperandPair>* read) const {
  const std::vector<int32_t> way_a = significant(comparison_.graph_a, path_a);
  const std::vector<int32_t> way_b = significant(comparison_.graph_b, path_b);
  return std::equal(way_a.begin(), way_a.end(), way_b.begin(), way_b.end(),
                    [&](int32_t x, int32_t y) { return same_passed(x, y, read); });
}

bool Wiring::same_value(int32_t a, int32_t b, bool flipped, std::vector<OperandPair>* read) const {
  if (a == kAbsent || b == kAbsent) return a == b;
  const GraphValue& in_a = comparison_.graph_a.values[static_cast<size_t>(a)];
  const GraphValue& in_b = comparison_.graph_b.values[static_cast<size_t>(b)];
  if (in_a.tensor == kAbsent || in_b.tensor == kAbsent) {
    return in_a.tensor == in_b.tensor && same_source(a, b);
  }
  const OperandPair place{in_a.tensor, in_b.tensor,
                          (in_a.transposed != in_b.transposed) != flipped};
  if (!same_tensor(place)) return false;
  if (read != nullptr) read->push_back(place);
  return true;
}

// Tensors that differ are reported as such; here it counts that it is these two that differ.
bool Wiring::same_tensor(const OperandPair& place) const {
  // As written, the Transpose nodes are compared themselves.
  const bool turned = wires_ == Wires::kAsMeant && place.transposed;
  if (!turned && comparison_.contents_a[static_cast<size_t>(place.a)] ==
                     comparison_.contents_b[static_cast<size_t>(place.b)]) {
    return true;
  }
  const auto found = match_.find(place.b);
  if (found == match_.end()) return !turned;  // too small to look at
  if (found->second->a != place.a) return false;
  return wires_ == Wires::kAsWritten || found->second->transposed == place.transposed;
}

// Values are one if matched nodes make them, or if they are one input.
bool Wiring::same_source(int32_t a, int32_t b) const {
  const GraphValue& in_a = comparison_.graph_a.values[static_cast<size_t>(a)];
  const GraphValue& in_b = comparison_.graph_b.values[static_cast<size_t>(b)];
  if (in_a.producer == kAbsent || in_b.producer == kAbsent) {
    return in_a.producer == in_b.producer &&
           comparison_.alignment.value_of_a[static_cast<size_t>(a)] == b;
  }
  return in_a.output == in_b.output &&
         comparison_.alignment.node_of_a[static_cast<size_t>(in_a.producer)] == in_b.producer;
}

bool Wiring::same_passed(int32_t x, int32_t y, std::vector<OperandPair>* read) const {
  const GraphNode& a = comparison_.graph_a.passed[static_cast<size_t>(x)];
  const GraphNode& b = comparison_.graph_b.passed[static_cast<size_t>(y)];
  if (a.op != b.op || a.attributes != b.attributes || a.inputs.size() != b.inputs.size()) {
    return false;
  }
  for (size_t i = 1; i < a.inputs.size(); ++i) {
    if (!same_value(a.inputs[i], b.inputs[i], false, read)) return false;
  }
  return true;
}

}  // namespace wshare
