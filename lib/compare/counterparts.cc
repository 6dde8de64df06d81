#include "compare/counterparts.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "format/dtype.h"

namespace wshare {
namespace {

using Name = std::pair<std::string, std::string>;  // scope, name

class Counterparts {
 public:
  Counterparts(const AlignSide& a, const AlignSide& b, ModelComparison& comparison)
      : a_(a), b_(b), comparison_(comparison) {
    for (size_t t = 0; t < a.model->tensors.size(); ++t) {
      const TensorRef& tensor = a.model->tensors[t];
      by_name_.emplace(Name{tensor.scope, tensor.name}, number(t));
      if (a.contents[t] >= 0) by_content_[a.contents[t]].push_back(number(t));
      if (tensor.shape.size() == 2) by_shape_[tensor.shape].push_back(number(t));
    }
    for (const OperandPair& place : comparison.alignment.places) places_[place.b].push_back(place);
    for (const LoraModule& module : comparison.lora_a) add_factors(*a.graph, module, lora_a_);
    for (const LoraModule& module : comparison.lora_b) add_factors(*b.graph, module, lora_b_);
  }

  void run() {
    std::set<int32_t> used;
    std::set<int64_t> contents_b;
    for (size_t t = 0; t < b_.model->tensors.size(); ++t) {
      const TensorMatch match = find(number(t));
      used.insert(match.a);
      contents_b.insert(b_.contents[t]);
      comparison_.tensors.push_back(match);
    }
    for (size_t t = 0; t < a_.model->tensors.size(); ++t) {
      const bool in_b = a_.contents[t] >= 0 && contents_b.count(a_.contents[t]) != 0;
      if (in_b || used.count(number(t)) != 0) continue;
      TensorMatch match;
      match.a = number(t);
      const bool lora = lora_a_.count(number(t)) != 0;
      match.tensor_class = lora ? TensorClass::kLora : TensorClass::kRemoved;
      match.ambiguous = comparison_.alignment.ambiguous_a[t];
      comparison_.tensors.push_back(match);
    }
  }

 private:
  static int32_t number(size_t t) { return static_cast<int32_t>(t); }
  const TensorRef& in_a(int32_t t) const { return a_.model->tensors[static_cast<size_t>(t)]; }
  const TensorRef& in_b(int32_t t) const { return b_.model->tensors[static_cast<size_t>(t)]; }

  static void add_factors(const ComputeGraph& graph, const LoraModule& module,
                          std::set<int32_t>& factors) {
    for (const int32_t value : {module.a, module.b}) {
      factors.insert(graph.values[static_cast<size_t>(value)].tensor);
    }
  }

  TensorMatch find(int32_t t) const {
    TensorMatch match;
    match.b = t;
    if (find_equal(match) || find_transposed(match)) return match;
    if (lora_b_.count(t) != 0) {
      match.tensor_class = TensorClass::kLora;
      return match;
    }
    if (find_by_place(match)) return match;
    match.tensor_class = TensorClass::kAdded;
    match.ambiguous = comparison_.alignment.ambiguous_b[static_cast<size_t>(t)];
    return match;
  }

  bool is_place_of(int32_t ta, int32_t tb) const {
    const auto found = places_.find(tb);
    return found != places_.end() &&
           std::any_of(found->second.begin(), found->second.end(),
                       [&](const OperandPair& place) { return place.a == ta; });
  }

  // Among tensors of equal bytes: the namesake, else one at the same place, else the first one;
  // with the same shape if there is any.
  bool find_equal(TensorMatch& match) const {
    const TensorRef& b = in_b(match.b);
    const int64_t content = b_.contents[static_cast<size_t>(match.b)];
    const auto equal = by_content_.find(content);
    if (content < 0 || equal == by_content_.end()) return false;
    int best = -1;
    for (const int32_t candidate : equal->second) {
      const TensorRef& a = in_a(candidate);
      if (a.dtype != b.dtype) continue;
      const bool same_name = a.scope == b.scope && a.name == b.name;
      const int rank = (a.shape == b.shape ? 4 : 0) + (same_name ? 2 : 0) +
                       (is_place_of(candidate, match.b) ? 1 : 0);
      if (rank <= best) continue;
      best = rank;
      match.a = candidate;
      match.tensor_class = rank >= 6 ? TensorClass::kSame : TensorClass::kRenamed;
    }
    return best >= 0;
  }

  // A few elements tell most matrices of one shape apart.
  static bool may_be_transposed(const TensorRef& a, const TensorRef& b, size_t size) {
    const auto rows = static_cast<size_t>(a.shape[0]);
    const auto cols = static_cast<size_t>(a.shape[1]);
    for (size_t i = 0; i < 16; ++i) {
      const size_t row = i * 7 % rows;
      const size_t col = i * 11 % cols;
      if (std::memcmp(a.bytes.data() + (row * cols + col) * size,
                      b.bytes.data() + (col * rows + row) * size, size) != 0) {
        return false;
      }
    }
    return true;
  }

  bool find_transposed(TensorMatch& match) const {
    const TensorRef& b = in_b(match.b);
    const std::optional<Dtype> dtype = find_dtype(b.dtype);
    if (b.shape.size() != 2 || b.bytes.empty() || !dtype || dtype->bits < 8) return false;
    const auto reversed = by_shape_.find({b.shape[1], b.shape[0]});
    if (reversed == by_shape_.end()) return false;
    for (const int32_t candidate : reversed->second) {
      const TensorRef& a = in_a(candidate);
      if (a.dtype != b.dtype || a.bytes.size() != b.bytes.size() ||
          byte_size(*dtype, a.shape) != a.bytes.size()) {
        continue;
      }
      if (!may_be_transposed(a, b, static_cast<size_t>(dtype->bits / 8))) continue;
      if (!equal_transposed(a, b)) continue;
      if (match.a == kAbsent || is_place_of(candidate, match.b)) match.a = candidate;
    }
    if (match.a == kAbsent) return false;
    match.transposed = true;
    match.tensor_class = TensorClass::kTransposed;
    return true;
  }

  // The tensor of a at most of the places of match.b; of two at equally many, the namesake.
  bool find_by_place(TensorMatch& match) const {
    const auto found = places_.find(match.b);
    if (found == places_.end()) return find_unused_namesake(match);
    const TensorRef& b = in_b(match.b);
    std::map<int32_t, int> votes;
    for (const OperandPair& place : found->second) {
      const bool namesake = in_a(place.a).name == b.name && in_a(place.a).scope == b.scope;
      if (votes.emplace(place.a, namesake ? 1 : 0).second && match.a == kAbsent) match.a = place.a;
      votes[place.a] += 2;
      if (votes[place.a] > votes[match.a]) match.a = place.a;
    }
    for (const OperandPair& place : found->second) {
      if (place.a == match.a) match.transposed = place.transposed;
    }
    // Of other shapes only the matrix says which way it is read.
    const std::vector<int64_t>& shape_a = in_a(match.a).shape;
    if (shape_a.size() != 2 || b.shape.size() != 2) match.transposed = false;
    return true;
  }

  // Nothing reads them, so there is no place to go by.
  bool find_unused_namesake(TensorMatch& match) const {
    const TensorRef& b = in_b(match.b);
    const auto found = by_name_.find({b.scope, b.name});
    if (found == by_name_.end() || has_uses(a_, found->second) || has_uses(b_, match.b)) {
      return false;
    }
    if (in_a(found->second).dtype != b.dtype || in_a(found->second).shape != b.shape) return false;
    match.a = found->second;
    return true;
  }

  static bool has_uses(const AlignSide& side, int32_t t) {
    const std::vector<int32_t>& views = side.graph->views[static_cast<size_t>(t)];
    return std::any_of(views.begin(), views.end(), [&](int32_t view) {
      return !side.graph->values[static_cast<size_t>(view)].uses.empty();
    });
  }

  const AlignSide& a_;
  const AlignSide& b_;
  ModelComparison& comparison_;
  std::map<Name, int32_t> by_name_;
  std::map<int64_t, std::vector<int32_t>> by_content_;
  std::map<std::vector<int64_t>, std::vector<int32_t>> by_shape_;  // matrices only
  std::map<int32_t, std::vector<OperandPair>> places_;             // by tensor of b
  std::set<int32_t> lora_a_, lora_b_;
};

}  // namespace

void find_counterparts(const AlignSide& a, const AlignSide& b, ModelComparison& comparison) {
  Counterparts(a, b, comparison).run();
}

}  // namespace wshare
