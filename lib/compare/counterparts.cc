#include "compare/counterparts.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>
#include <tuple>

#include "compare/transposes.h"

namespace wshare {
namespace {

// Finds the first of the tensors of a that has a key.
//
// `KeyOf` makes the key of a tensor from it and the number of its content; sorted numbers take less
// memory than a map, whatever the models hold.
template <typename KeyOf>
class FirstBy {
 public:
  explicit FirstBy(const AlignSide& a) : a_(a) {
    for (size_t t = 0; t < a.model->tensors.size(); ++t)
      numbers_.push_back(static_cast<int32_t>(t));
    std::stable_sort(numbers_.begin(), numbers_.end(),
                     [&](int32_t x, int32_t y) { return key_of(x) < key_of(y); });
  }

  int32_t find(const TensorRef& tensor, int64_t content) const {
    const auto key = KeyOf()(tensor, content);
    const auto found = std::lower_bound(numbers_.begin(), numbers_.end(), key,
                                        [&](int32_t t, const auto& k) { return key_of(t) < k; });
    return found == numbers_.end() || key_of(*found) != key ? kAbsent : *found;
  }

 private:
  auto key_of(int32_t t) const {
    return KeyOf()(a_.model->tensors[static_cast<size_t>(t)], a_.contents[static_cast<size_t>(t)]);
  }

  const AlignSide& a_;
  std::vector<int32_t> numbers_;
};

struct ByName {
  auto operator()(const TensorRef& tensor, int64_t) const {
    return std::tuple<std::string_view, std::string_view>(tensor.scope, tensor.name);
  }
};
struct ByContent {
  auto operator()(const TensorRef& tensor, int64_t content) const {
    return std::tuple(content, tensor.dtype);
  }
};
struct ByContentAndShape {
  auto operator()(const TensorRef& tensor, int64_t content) const {
    return std::tuple_cat(ByContent()(tensor, content), std::tie(tensor.shape));
  }
};
struct ByContentAndName {
  auto operator()(const TensorRef& tensor, int64_t content) const {
    return std::tuple_cat(ByContent()(tensor, content), ByName()(tensor, content));
  }
};
struct ByAll {
  auto operator()(const TensorRef& tensor, int64_t content) const {
    return std::tuple_cat(ByContentAndShape()(tensor, content), ByName()(tensor, content));
  }
};

class Counterparts {
 public:
  Counterparts(const AlignSide& a, const AlignSide& b, ModelComparison& comparison)
      : a_(a),
        b_(b),
        comparison_(comparison),
        by_name_(a),
        by_content_(a),
        by_shape_(a),
        by_content_and_name_(a),
        by_all_(a),
        transposes_(a, [&](int32_t t) { return by_shape_.find(in_a(t), content_a(t)) == t; }) {
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
  int64_t content_a(int32_t t) const { return a_.contents[static_cast<size_t>(t)]; }

  static void add_factors(const ComputeGraph& graph, const LoraModule& module,
                          std::set<int32_t>& factors) {
    for (const int32_t value : {module.a, module.b}) {
      factors.insert(graph.values[static_cast<size_t>(value)].tensor);
    }
  }

  TensorMatch find(int32_t t) {
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

  // The tensors of a at the places of tensor `tb` that hold the same as `ta`.
  template <typename Visit>
  void visit_places_like(int32_t ta, int32_t tb, const Visit& visit) const {
    const auto found = places_.find(tb);
    if (found == places_.end()) return;
    for (const OperandPair& place : found->second) {
      if (content_a(place.a) == content_a(ta) && in_a(place.a).dtype == in_a(ta).dtype)
        visit(place.a);
    }
  }

  // Among tensors of equal bytes: the namesake, else one at the same place, else the first one;
  // with the same shape if there is any.
  bool find_equal(TensorMatch& match) const {
    const TensorRef& b = in_b(match.b);
    const int64_t content = b_.contents[static_cast<size_t>(match.b)];
    const int32_t first = content < 0 ? kAbsent : by_content_.find(b, content);
    if (first == kAbsent) return false;
    int best = -1;
    const auto consider = [&](int32_t candidate, int at_place) {
      if (candidate == kAbsent) return;
      ++comparison_.steps;
      const TensorRef& a = in_a(candidate);
      const bool same_name = a.scope == b.scope && a.name == b.name;
      const int rank = (a.shape == b.shape ? 4 : 0) + (same_name ? 2 : 0) + at_place;
      if (rank < best || (rank == best && candidate > match.a)) return;
      best = rank;
      match.a = candidate;
      match.tensor_class = rank >= 6 ? TensorClass::kSame : TensorClass::kRenamed;
    };
    visit_places_like(first, match.b, [&](int32_t place) { consider(place, 1); });
    for (const int32_t candidate : {by_all_.find(b, content), by_shape_.find(b, content),
                                    by_content_and_name_.find(b, content), first}) {
      consider(candidate, 0);
    }
    return true;
  }

  // The last one at a place of match.b, else the first one.
  bool find_transposed(TensorMatch& match) {
    const int32_t first = transposes_.find(in_b(match.b), b_.contents[static_cast<size_t>(match.b)],
                                           comparison_.steps);
    if (first == kAbsent) return false;
    match.a = first;
    int32_t at_place = kAbsent;
    visit_places_like(first, match.b, [&](int32_t place) {
      if (in_a(place).shape == in_a(first).shape) at_place = std::max(at_place, place);
    });
    if (at_place != kAbsent) match.a = at_place;
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
    const int32_t found = by_name_.find(b, 0);
    if (found == kAbsent || has_uses(a_, found) || has_uses(b_, match.b)) return false;
    if (in_a(found).dtype != b.dtype || in_a(found).shape != b.shape) return false;
    match.a = found;
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
  FirstBy<ByName> by_name_;
  FirstBy<ByContent> by_content_;
  FirstBy<ByContentAndShape> by_shape_;
  FirstBy<ByContentAndName> by_content_and_name_;
  FirstBy<ByAll> by_all_;
  Transposes transposes_;
  std::map<int32_t, std::vector<OperandPair>> places_;  // by tensor of b
  std::set<int32_t> lora_a_, lora_b_;
};

}  // namespace

void find_counterparts(const AlignSide& a, const AlignSide& b, ModelComparison& comparison) {
  Counterparts(a, b, comparison).run();
}

}  // namespace wshare
