#include "extract_lora/task_changes.h"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <set>
#include <utility>

#include "compare/graph_changes.h"
#include "compare/layers.h"
#include "extract_lora/heads.h"
#include "util/text.h"

namespace wshare {
namespace {

constexpr size_t kMostReasons = 6;

std::string name_of(const TensorRef& tensor) { return in_quotes(full_name(tensor)); }

bool is_power_of_two(double value) {
  int exponent = 0;
  return std::frexp(std::abs(value), &exponent) == 0.5;
}

class Finder {
 public:
  Finder(const ComparisonBase& base, const BranchSites& sites, const ScannedModel& task,
         const ExtractOptions& options, SharedScratch& scratch)
      : base_(base.model()),
        sites_(sites),
        task_(task),
        options_(options),
        scratch_(scratch),
        comparison_(compare_models(base, task, how_to_compare())) {
    GraphChanges graph = find_graph_changes(base, task_, comparison_);
    for (std::string& reason : graph.reasons)
      changes_.reasons.push_back("the graph " + std::move(reason));
    changes_.renamed_outputs = std::move(graph.renamed_outputs);
    if (options_.exact) check_operators();
  }

  TaskChanges run() {
    for (const LoraModule& module : comparison_.lora_b) add_unmerged(module);
    stack_unmerged();
    add_heads();
    check_places();
    check_sharing();
    if (!changes_.reasons.empty()) drop_heads();
    if (changes_.reasons.size() > kMostReasons) {
      const size_t more = changes_.reasons.size() - kMostReasons;
      changes_.reasons.resize(kMostReasons);
      changes_.reasons.push_back("and " + std::to_string(more) + " more");
    }
    keep_tensors();
    return std::move(changes_);
  }

 private:
  // A Gemm and the MatMul that stands for it in the base may round in other ways.
  void check_operators() {
    const std::vector<int32_t>& of_b = comparison_.alignment.node_of_b;
    for (size_t n = 0; n < of_b.size(); ++n) {
      const GraphNode& node = comparison_.graph_b.nodes[n];
      if (of_b[n] == kAbsent) continue;
      const std::string& op = comparison_.graph_a.nodes[static_cast<size_t>(of_b[n])].op;
      if (op == node.op) continue;
      changes_.reasons.push_back("the graph has a " + node.op + " where the base has a " + op +
                                 " (--exact)");
      return;
    }
  }

  CompareOptions how_to_compare() {
    CompareOptions compare;
    compare.delta.max_rank = options_.max_rank;
    compare.delta.fixed_rank = options_.rank;
    compare.delta.tolerance = options_.tolerance;
    compare.threads = options_.threads;
    compare.progress = options_.progress;
    compare.on_low_rank = [this](size_t index, const TensorMatch& match, LowRankFactors&& factors) {
      add_merged(index, match, factors);
    };
    return compare;
  }

  const TensorRef& of_base(int32_t t) const { return base_.tensors[static_cast<size_t>(t)]; }
  const TensorRef& of_task(int32_t t) const { return task_.tensors[static_cast<size_t>(t)]; }

  // Runs on the threads of the comparison.
  void add_merged(size_t index, const TensorMatch& match, const LowRankFactors& factors) {
    const TensorRef& base = of_base(match.a);
    const BranchSite* site = sites_.find(match.a);
    if (site == nullptr || base.dtype != of_task(match.b).dtype) {
      const std::string reason = sites_.reason_against(match.a);
      add_note(index, "low rank, but " + (reason.empty() ? "of another element type" : reason));
      return;
    }
    if (!site->no_inputs.empty()) add_note(index, "low rank, but " + site->no_inputs);
    keep_merged(index, match, store_factors(factors, site->layout, site->dtype, scratch_), false);
  }

  // Heads travel whole where the task is an adapter else.
  void add_heads() {
    if (!changes_.reasons.empty()) return;
    for (const size_t index : find_heads(comparison_, sites_, base_, task_)) {
      const TensorMatch& match = comparison_.tensors[index];
      MatrixView changed = *matrix_of(of_task(match.b));
      if (match.transposed) changed = transpose_of(changed);
      keep_merged(
          index, match,
          store_head(*matrix_of(of_base(match.a)), changed, *sites_.find(match.a), scratch_), true);
    }
  }

  // A model of the task's own stores them as they are.
  void drop_heads() {
    std::erase_if(changes_.merged, [](const auto& entry) { return entry.second.is_head; });
  }

  void keep_merged(size_t index, const TensorMatch& match, StoredFactors factors, bool is_head) {
    MergedWeight merged;
    merged.factors = factors;
    merged.is_head = is_head;
    const TensorRef& task = of_task(match.b);
    const auto [report, residual] = code_residual(prediction_of(match, merged.factors), task.bytes,
                                                  options_.residual, scratch_);
    merged.predicted = report.differing_elements == 0;
    merged.residual = residual;
    merged.relative_error =
        report.square_delta == 0 ? 0 : std::sqrt(report.square_error / report.square_delta);
    merged.max_abs_error = report.max_abs_error;
    const std::lock_guard lock(mutex_);
    changes_.merged.emplace(index, std::move(merged));
  }

  Prediction prediction_of(const TensorMatch& match, const StoredFactors& factors) const {
    MatrixView base = *matrix_of(of_base(match.a));
    if (match.transposed) base = transpose_of(base);
    const FactorViews views = factors.views(match.transposed);
    return {of_task(match.b).dtype, base.rows, base.cols, base, 1, views.left, views.right};
  }

  void add_note(size_t index, std::string note) {
    const std::lock_guard lock(mutex_);
    changes_.notes[index].push_back(std::move(note));
  }

  const TensorRef& factor_of(int32_t value) const {
    const GraphValue& found = comparison_.graph_b.values[static_cast<size_t>(value)];
    return of_task(found.tensor);
  }

  // The weight of the base that the layer of `module` reads. The layer says it, not the task's
  // weight: an exporter may have made one tensor of two equal ones.
  int32_t weight_of(const LoraModule& module) const {
    const int32_t layer = comparison_.alignment.node_of_b[static_cast<size_t>(module.base_node)];
    if (layer == kAbsent) return kAbsent;
    const GraphNode& node = comparison_.graph_a.nodes[static_cast<size_t>(layer)];
    if (node.inputs.size() < 2 || node.inputs[1] == kAbsent) return kAbsent;
    return comparison_.graph_a.values[static_cast<size_t>(node.inputs[1])].tensor;
  }

  void add_unmerged(const LoraModule& module) {
    const TensorRef& weight = factor_of(module.weight);
    const int32_t base = weight_of(module);
    const auto refuse = [&](const std::string& why) {
      changes_.reasons.push_back("the LoRA pair of " + name_of(weight) + " " + why);
    };
    const BranchSite* site = sites_.find(base);
    if (base == kAbsent) return refuse("belongs to a weight that the base does not have");
    if (site == nullptr || !matrix_of(of_base(base))) {
      const std::string reason = sites_.reason_against(base);
      return refuse("has no place in the base: its weight " +
                    (reason.empty() ? "is no float matrix" : reason));
    }
    if (!site->no_inputs.empty()) return refuse("has no place: " + site->no_inputs);
    if (site->layers != 1) return refuse("is at one of several readers of its weight");
    for (const UnmergedPair& other : changes_.unmerged) {
      if (other.weight != base || !options_.exact) continue;
      return refuse("is the second one at its weight, and the sum of both rounds (--exact)");
    }
    if (factor_of(module.a).dtype != site->dtype || factor_of(module.b).dtype != site->dtype) {
      return refuse("has another element type than its weight");
    }
    if (options_.exact && !is_power_of_two(module.scaling)) {
      return refuse("is scaled by no power of two, which rounds B (--exact)");
    }
    const UnmergedPair pair =
        store_pair(comparison_.graph_b, module, task_, {base, *matrix_of(of_base(base)), *site},
                   options_.residual, scratch_);
    if (!std::isfinite(pair.max_abs_error)) return refuse("is not finite when scaled");
    if (options_.exact && !pair.predicted) return refuse("loses bits when scaled (--exact)");
    changes_.unmerged.push_back(pair);
  }

  // Several pairs at one weight become one.
  void stack_unmerged() {
    std::map<int32_t, std::vector<UnmergedPair*>> pairs;
    for (UnmergedPair& pair : changes_.unmerged) pairs[pair.weight].push_back(&pair);
    for (const auto& [weight, of_weight] : pairs) {
      if (of_weight.size() > 1) changes_.stacked[weight] = stack_pairs(of_weight, scratch_);
    }
  }

  // Every operand that both graphs read at one place must be what the base has there, but for the
  // weights whose change an adapter holds.
  void check_places() {
    std::set<int32_t> reported;
    for (const OperandPair& place : comparison_.alignment.places) {
      const int64_t content_a = comparison_.contents_a[static_cast<size_t>(place.a)];
      if (content_a >= 0 && content_a == comparison_.contents_b[static_cast<size_t>(place.b)]) {
        if (!place.transposed) continue;
      }
      const auto index = static_cast<size_t>(place.b);
      const TensorMatch& match = comparison_.tensors[index];
      const bool same_place = match.a == place.a;
      if (same_place && match.tensor_class == TensorClass::kTransposed) continue;
      if (same_place && (is_adaptable(index) || is_vector_input(match, index))) continue;
      if (!reported.insert(place.b).second) continue;
      changes_.reasons.push_back(reason_for(match, index));
    }
  }

  // True if the task's bias or norm may be an input in place of the base's; notes it.
  bool is_vector_input(const TensorMatch& match, size_t index) {
    const TensorRef& base = of_base(match.a);
    const TensorRef& task = of_task(match.b);
    if (match.tensor_class != TensorClass::kReplaced || sites_.vectors.count(match.a) == 0 ||
        base.dtype != task.dtype || base.shape != task.shape || !may_travel(task)) {
      return false;
    }
    changes_.vectors.insert(index);
    return true;
  }

  // True if an adapter gives this weight, and well enough.
  bool is_adaptable(size_t index) const {
    const auto merged = changes_.merged.find(index);
    if (merged == changes_.merged.end() || (options_.exact && !merged->second.predicted)) {
      return false;
    }
    return sites_.find(comparison_.tensors[index].a)->no_inputs.empty();
  }

  std::string reason_for(const TensorMatch& match, size_t index) const {
    const std::string name = name_of(of_task(match.b));
    const auto notes = changes_.notes.find(index);
    if (notes != changes_.notes.end()) return name + ": " + notes->second.front();
    if (match.a == kAbsent) return name + " has no counterpart in the base";
    if (match.tensor_class == TensorClass::kLowRank && options_.exact) {
      return name + " is the base's plus a low rank and rounding, which is not exact (--exact)";
    }
    if (match.tensor_class == TensorClass::kCast) {
      return name + " is the base's in another element type";
    }
    if (match.delta && match.delta->kind == DeltaKind::kNotFinite) {
      return name + " or the base's holds NaN or infinity";
    }
    if (match.delta && match.delta->kind == DeltaKind::kFewRows) {
      return name + " differs from the base's in a few rows or columns, which is no LoRA";
    }
    if (of_task(match.b).shape != of_base(match.a).shape && !match.delta) {
      return name + " has another shape than the base's";
    }
    if (!match.delta) return name + " has other values than the base's";
    return name + " is not the base's tensor plus a low rank";
  }

  // One weight of the base may stand for two of the task, which then differ: a branch would change
  // both.
  void check_sharing() {
    std::map<int32_t, std::set<int32_t>> users;
    for (const OperandPair& place : comparison_.alignment.places) users[place.a].insert(place.b);
    std::set<int32_t> changed;
    for (const auto& [index, merged] : changes_.merged)
      changed.insert(comparison_.tensors[index].a);
    for (const size_t index : changes_.vectors) changed.insert(comparison_.tensors[index].a);
    for (const int32_t weight : changed) {
      if (users[weight].size() > 1) {
        changes_.reasons.push_back(name_of(of_base(weight)) + " stands for " +
                                   std::to_string(users[weight].size()) +
                                   " different tensors of the task");
      }
    }
    for (const UnmergedPair& pair : changes_.unmerged) {
      if (changed.count(pair.weight) == 0) continue;
      changes_.reasons.push_back(name_of(of_base(pair.weight)) +
                                 " has an unmerged LoRA pair and a merged one");
    }
  }

  // Keeps of the comparison what is said of each tensor: the rest goes with it.
  void keep_tensors() {
    for (size_t index = 0; index < task_.tensors.size(); ++index) {
      TensorMatch& match = comparison_.tensors[index];
      changes_.tensors.push_back({match.a, match.tensor_class, match.transposed});
      add_notes(index, match);
      if (match.tensor_class == TensorClass::kLowRank)
        changes_.low_rank.emplace(index, *std::move(match.delta));
    }
  }

  void add_notes(size_t index, const TensorMatch& match) {
    if (match.ambiguous) add_note(index, "ambiguous: several fit equally well");
    if (!match.delta) return;
    const DeltaReport& delta = *match.delta;
    if (delta.kind == DeltaKind::kNotFinite) add_note(index, "holds NaN or infinity");
    if (delta.kind == DeltaKind::kFewRows) {
      add_note(index, std::to_string(delta.changed_rows) + " of " + std::to_string(delta.rows) +
                          " rows, " + std::to_string(delta.changed_cols) + " of " +
                          std::to_string(delta.cols) + " columns changed: few rows, no LoRA");
    }
    if (delta.kind == DeltaKind::kLowRank && std::abs(delta.rank - delta.rank_by_rounding) > 3)
      add_note(index, "by roundings alone rank " + std::to_string(delta.rank_by_rounding));
  }

  const ScannedModel& base_;
  const BranchSites& sites_;
  const ScannedModel& task_;
  const ExtractOptions& options_;
  SharedScratch& scratch_;
  std::mutex mutex_;
  TaskChanges changes_;
  ModelComparison comparison_;  // last: it is made with the others
};

}  // namespace

std::map<int32_t, const StoredFactors*> TaskChanges::factors() const {
  std::map<int32_t, const StoredFactors*> factors;
  for (const auto& [index, weight] : merged) factors[tensors[index].base] = &weight.factors;
  for (const UnmergedPair& pair : unmerged) factors[pair.weight] = &pair.factors;
  for (const auto& [weight, of_pairs] : stacked) factors[weight] = &of_pairs;
  return factors;
}

TaskChanges find_changes(const ComparisonBase& base, const BranchSites& sites,
                         const ScannedModel& task, const ExtractOptions& options,
                         SharedScratch& scratch) {
  return Finder(base, sites, task, options, scratch).run();
}

}  // namespace wshare
