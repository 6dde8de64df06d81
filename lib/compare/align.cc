#include "compare/align.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>

#include "compare/pairs.h"
#include "compare/readers.h"

// Problem: find for each node of graph a its counterpart in graph b, where b was trained further,
// exported by another version, has a head more or less, and other names. Wrong pairs are worse than
// none: they would present two unrelated weights as one that changed.
//
// Idea: certain pairs first, then from neighbour to neighbour. A pair of nodes gives the pairs of
// their inputs (each value has one producer, so this is forced) and of the readers of their outputs
// (forced where only one reader on each side has that operator and operand). Where several readers
// have (q, k and v of an attention layer), what lies below them decides: the largest neighbourhood
// in which exactly one of each side looks alike.
//
// Order: (1) equal weights that are no mere constants, (2) inputs and outputs of the models, (3)
// names of leftovers, (4) once more with other shapes allowed (a head with more classes).
//
// Cost: each node is matched once; ambiguous places are looked at again as long as others get
// fewer, and steps are left (Pairs::spend()).

namespace wshare {
namespace {

class Aligner {
 public:
  Aligner(const AlignSide& a, const AlignSide& b) : pairs_(a, b) {}

  Alignment run() {
    match_equal_weights();
    propagate();
    match_borders();
    propagate();
    match_later();
    propagate();
    match_names();
    propagate();
    pairs_.allow_any_shape();
    open_.clear();
    revisit_values();
    propagate();
    return result();
  }

 private:
  // From neighbour to neighbour

  // Looks again at what did not fit because of its shape.
  void revisit_values() {
    const std::vector<int32_t> counterparts = pairs_.values(kA);
    for (size_t v = 0; v < counterparts.size(); ++v) {
      if (counterparts[v] != kAbsent) spread_from_values(static_cast<int32_t>(v), counterparts[v]);
    }
  }

  void propagate() {
    while (true) {
      if (const std::optional<Pair> nodes = pairs_.take_new_nodes()) {
        spread_from_nodes(nodes->a, nodes->b);
      } else if (const std::optional<Pair> values = pairs_.take_new_values()) {
        spread_from_values(values->a, values->b);
      } else if (!retry_open()) {
        return;
      }
    }
  }

  void spread_from_nodes(int32_t na, int32_t nb) {
    const GraphNode& a = pairs_.node(kA, na);
    const GraphNode& b = pairs_.node(kB, nb);
    const bool swap = pairs_.swapped(a, b);
    for (size_t slot = 0; slot < std::min(a.inputs.size(), b.inputs.size()); ++slot) {
      const int32_t va = a.inputs[slot];
      const int32_t vb = b.inputs[swap ? 1 - slot : slot];
      if (pairs_.is_tensor(kA, va) && pairs_.is_tensor(kB, vb)) {
        const GraphValue& in_a = pairs_.value(kA, va);
        const GraphValue& in_b = pairs_.value(kB, vb);
        const bool flipped = slot == 1 && a.transposes_b != b.transposes_b;
        places_.push_back(
            {in_a.tensor, in_b.tensor, (in_a.transposed != in_b.transposed) != flipped});
      } else if (may_be_one_value(va, vb)) {
        pairs_.match_values(va, vb);
      } else {
        later_.push_back({va, vb});
      }
    }
    for (size_t i = 0; i < std::min(a.outputs.size(), b.outputs.size()); ++i) {
      pairs_.match_values(a.outputs[i], b.outputs[i]);
    }
    for (const auto& [name, border] : a.bodies) {
      const auto other = b.bodies.find(name);
      if (other != b.bodies.end()) match_in_order(border, other->second);
    }
    for (const auto& [name, t] : a.attribute_tensors) {
      const auto other = b.attribute_tensors.find(name);
      if (other != b.attribute_tensors.end()) places_.push_back({t, other->second, false});
    }
  }

  // Two operands with different producers are no counterparts: a node came in between. They are
  // only used to go on where nothing better was found.
  bool may_be_one_value(int32_t va, int32_t vb) const {
    if (va == kAbsent || vb == kAbsent) return false;
    const int32_t pa = pairs_.value(kA, va).producer;
    const int32_t pb = pairs_.value(kB, vb).producer;
    if (pa == kAbsent || pb == kAbsent) return pa == pb;
    return paired_op(pairs_.node(kA, pa)) == paired_op(pairs_.node(kB, pb));
  }

  void match_later() {
    for (const Pair& pair : later_) pairs_.match_values(pair.a, pair.b);
    later_.clear();
  }

  void spread_from_values(int32_t va, int32_t vb) {
    const int32_t pa = pairs_.value(kA, va).producer;
    const int32_t pb = pairs_.value(kB, vb).producer;
    if (pa != kAbsent && pb != kAbsent &&
        pairs_.value(kA, va).output == pairs_.value(kB, vb).output) {
      pairs_.match_nodes(pa, pb);
    }
    if (!match_readers(pairs_, pairs_.value(kA, va).uses, pairs_.value(kB, vb).uses))
      open_.push_back({va, vb});
  }

  bool retry_open() {
    std::vector<Pair> again;
    std::swap(again, open_);
    for (const Pair& pair : again) {
      if (!match_readers(pairs_, pairs_.value(kA, pair.a).uses, pairs_.value(kB, pair.b).uses))
        open_.push_back(pair);
    }
    return pairs_.has_new_nodes();
  }

  // Where to begin

  void match_equal_weights() {
    const std::map<int64_t, std::vector<Use>> in_b = uses_by_content(pairs_, kB);
    for (const auto& [number, uses] : uses_by_content(pairs_, kA)) {
      const auto found = in_b.find(number);
      if (found != in_b.end()) match_readers(pairs_, uses, found->second);
    }
  }

  void match_in_order(const GraphBorder& a, const GraphBorder& b) {
    for (size_t i = 0; i < std::min(a.inputs.size(), b.inputs.size()); ++i) {
      pairs_.match_values(a.inputs[i], b.inputs[i]);
    }
    for (size_t i = 0; i < std::min(a.outputs.size(), b.outputs.size()); ++i) {
      match_outputs(a.outputs[i], b.outputs[i]);
    }
  }

  // An output may be a tensor itself, seen through Identity.
  void match_outputs(int32_t a, int32_t b) {
    if (pairs_.is_tensor(kA, a) && pairs_.is_tensor(kB, b)) {
      if (!pairs_.any_shape())
        places_.push_back({pairs_.value(kA, a).tensor, pairs_.value(kB, b).tensor, false});
      return;
    }
    pairs_.match_values(a, b);
  }

  // By name; what has no namesake on the other side goes in order if as many are left there.
  template <typename Match>
  static void match_named(const std::vector<int32_t>& a, const std::vector<std::string>& names_a,
                          const std::vector<int32_t>& b, const std::vector<std::string>& names_b,
                          const Match& match) {
    std::vector<int32_t> left_a, left_b = b;
    const std::unordered_map<std::string_view, size_t> place_in_b = first_places(names_b);
    for (size_t i = 0; i < a.size(); ++i) {
      const auto named = place_in_b.find(names_a[i]);
      if (named == place_in_b.end()) {
        left_a.push_back(a[i]);
        continue;
      }
      match(a[i], b[named->second]);
      left_b[named->second] = kAbsent;
    }
    std::erase(left_b, kAbsent);
    if (left_a.size() != left_b.size()) return;
    for (size_t i = 0; i < left_a.size(); ++i) match(left_a[i], left_b[i]);
  }

  void match_border(const GraphBorder& a, const GraphBorder& b) {
    match_named(a.inputs, a.input_names, b.inputs, b.input_names,
                [&](int32_t va, int32_t vb) { pairs_.match_values(va, vb); });
    match_named(a.outputs, a.output_names, b.outputs, b.output_names,
                [&](int32_t va, int32_t vb) { match_outputs(va, vb); });
  }

  void match_borders() {
    match_border(pairs_.graph(kA).main, pairs_.graph(kB).main);
    for (const auto& [scope, border] : pairs_.graph(kA).others) {
      const auto other = pairs_.graph(kB).others.find(scope);
      if (other != pairs_.graph(kB).others.end()) match_border(border, other->second);
    }
  }

  // What a name says counts only where no place was found, and only for a name that no counter
  // made: of a module path, with the same shape and type and the same first reader.
  void match_names() {
    std::map<std::pair<std::string, std::string>, int32_t> in_b;
    const ScannedModel& model_b = pairs_.model(kB);
    for (size_t t = 0; t < model_b.tensors.size(); ++t) {
      in_b[{model_b.tensors[t].scope, model_b.tensors[t].name}] = static_cast<int32_t>(t);
    }
    std::set<int32_t> placed_a, placed_b;
    for (const OperandPair& place : places_) {
      placed_a.insert(place.a);
      placed_b.insert(place.b);
    }
    const ScannedModel& model_a = pairs_.model(kA);
    for (size_t t = 0; t < model_a.tensors.size(); ++t) {
      const TensorRef& tensor = model_a.tensors[t];
      if (tensor.name.find_first_of("./") == std::string::npos) continue;
      const auto found = in_b.find({tensor.scope, tensor.name});
      if (found == in_b.end() || placed_a.count(static_cast<int32_t>(t)) != 0 ||
          placed_b.count(found->second) != 0) {
        continue;
      }
      match_namesakes(static_cast<int32_t>(t), found->second);
    }
  }

  void match_namesakes(int32_t ta, int32_t tb) {
    const TensorRef& a = pairs_.tensor(kA, ta);
    const TensorRef& b = pairs_.tensor(kB, tb);
    const std::optional<Use> use_a = first_use(kA, ta);
    const std::optional<Use> use_b = first_use(kB, tb);
    if (a.dtype != b.dtype || a.shape != b.shape || !use_a || !use_b) return;
    if (use_a->slot == use_b->slot) pairs_.match_nodes(use_a->node, use_b->node);
  }

  std::optional<Use> first_use(Side side, int32_t t) const {
    for (const int32_t view : pairs_.graph(side).views[static_cast<size_t>(t)]) {
      if (!pairs_.value(side, view).uses.empty()) return pairs_.value(side, view).uses.front();
    }
    return std::nullopt;
  }

  Alignment result() {
    Alignment alignment{pairs_.nodes(kA),
                        pairs_.nodes(kB),
                        pairs_.values(kA),
                        pairs_.values(kB),
                        std::move(places_),
                        {},
                        {},
                        0};
    alignment.steps = pairs_.steps();
    alignment.ambiguous_a.resize(pairs_.model(kA).tensors.size());
    alignment.ambiguous_b.resize(pairs_.model(kB).tensors.size());
    std::array<std::set<int32_t>, 2> nodes;
    for (const Pair& pair : open_) {
      const OpenReaders open =
          open_readers(pairs_, pairs_.value(kA, pair.a).uses, pairs_.value(kB, pair.b).uses);
      nodes[kA].insert(open.a.begin(), open.a.end());
      nodes[kB].insert(open.b.begin(), open.b.end());
    }
    mark_weights(kA, nodes[kA], alignment.ambiguous_a);
    mark_weights(kB, nodes[kB], alignment.ambiguous_b);
    return alignment;
  }

  void mark_weights(Side side, const std::set<int32_t>& nodes, std::vector<bool>& marks) const {
    for (const int32_t n : nodes) {
      for (const int32_t input : pairs_.node(side, n).inputs) {
        if (pairs_.is_tensor(side, input)) {
          marks[static_cast<size_t>(pairs_.value(side, input).tensor)] = true;
        }
      }
    }
  }

  Pairs pairs_;
  std::vector<Pair> later_;  // operands of one place with different producers
  std::vector<Pair> open_;   // values whose readers are not all matched
  std::vector<OperandPair> places_;
};

}  // namespace

Alignment align(const AlignSide& a, const AlignSide& b) { return Aligner(a, b).run(); }

}  // namespace wshare
