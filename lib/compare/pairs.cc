#include "compare/pairs.h"

#include <algorithm>

namespace wshare {
namespace {

std::optional<Pair> take_first(std::deque<Pair>& pairs) {
  if (pairs.empty()) return std::nullopt;
  const Pair first = pairs.front();
  pairs.pop_front();
  return first;
}

}  // namespace

Pairs::Pairs(const AlignSide& a, const AlignSide& b) : sides_{&a, &b} {
  for (const Side side : {kA, kB}) {
    nodes_[side].assign(graph(side).nodes.size(), kAbsent);
    values_[side].assign(graph(side).values.size(), kAbsent);
    for (const GraphNode& each : graph(side).nodes)
      most_steps_ += kStepsPerUse * (1 + each.inputs.size());
  }
}

std::optional<Pair> Pairs::take_new_nodes() { return take_first(new_nodes_); }
std::optional<Pair> Pairs::take_new_values() { return take_first(new_values_); }

bool Pairs::match_nodes(int32_t a, int32_t b) {
  int32_t& of_a = nodes_[kA][static_cast<size_t>(a)];
  int32_t& of_b = nodes_[kB][static_cast<size_t>(b)];
  if (of_a != kAbsent || of_b != kAbsent || !fit(a, b)) return false;
  of_a = b;
  of_b = a;
  new_nodes_.push_back({a, b});
  return true;
}

void Pairs::match_values(int32_t a, int32_t b) {
  if (a == kAbsent || b == kAbsent || is_tensor(kA, a) || is_tensor(kB, b)) return;
  int32_t& of_a = values_[kA][static_cast<size_t>(a)];
  int32_t& of_b = values_[kB][static_cast<size_t>(b)];
  if (of_a != kAbsent || of_b != kAbsent) return;
  of_a = b;
  of_b = a;
  new_values_.push_back({a, b});
}

bool Pairs::same_shape(int32_t ta, int32_t tb) const {
  std::vector<int64_t> a = tensor(kA, ta).shape;
  std::vector<int64_t> b = tensor(kB, tb).shape;
  std::sort(a.begin(), a.end());
  std::sort(b.begin(), b.end());
  return a == b;
}

// Same operator, and weights at the same operands.
bool Pairs::fit(int32_t na, int32_t nb) {
  const GraphNode& a = node(kA, na);
  const GraphNode& b = node(kB, nb);
  if (paired_op(a) != paired_op(b) || a.in_lora || b.in_lora || a.bodies.size() != b.bodies.size())
    return false;
  if (!spend(1 + std::min(a.inputs.size(), b.inputs.size()))) return false;
  if (any_shape_) return true;
  const bool swap = swapped(a, b);
  for (size_t slot = 0; slot < std::min(a.inputs.size(), b.inputs.size()); ++slot) {
    const int32_t va = a.inputs[slot];
    const int32_t vb = b.inputs[swap ? 1 - slot : slot];
    if (is_tensor(kA, va) && is_tensor(kB, vb) &&
        !same_shape(value(kA, va).tensor, value(kB, vb).tensor)) {
      return false;
    }
  }
  return true;
}

// How well two operands go together.
int Pairs::score(int32_t va, int32_t vb) const {
  if (va == kAbsent || vb == kAbsent) return va == vb ? 0 : -4;
  if (is_tensor(kA, va) != is_tensor(kB, vb)) return -4;
  if (is_tensor(kA, va)) {
    const int32_t ta = value(kA, va).tensor, tb = value(kB, vb).tensor;
    return (same_shape(ta, tb) ? 2 : -2) + (content(kA, ta) == content(kB, tb) ? 1 : 0);
  }
  const int32_t known = values_[kA][static_cast<size_t>(va)];
  if (known != kAbsent || values_[kB][static_cast<size_t>(vb)] != kAbsent)
    return known == vb ? 4 : -4;
  const int32_t pa = value(kA, va).producer, pb = value(kB, vb).producer;
  if (pa == kAbsent || pb == kAbsent) return pa == pb ? 1 : -2;
  if (paired_op(node(kA, pa)) != paired_op(node(kB, pb))) return -2;
  const bool alike = signatures(kA).above[static_cast<size_t>(pa)] ==
                     signatures(kB).above[static_cast<size_t>(pb)];
  return alike ? 2 : 1;
}

// True if the operands of a commutative node go together crosswise.
bool Pairs::swapped(const GraphNode& a, const GraphNode& b) const {
  if (!is_commutative(a.op) || a.inputs.size() != 2 || b.inputs.size() != 2) return false;
  return score(a.inputs[0], b.inputs[1]) + score(a.inputs[1], b.inputs[0]) >
         score(a.inputs[0], b.inputs[0]) + score(a.inputs[1], b.inputs[1]);
}

}  // namespace wshare
