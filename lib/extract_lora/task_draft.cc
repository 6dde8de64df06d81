#include "extract_lora/task_draft.h"

#include <cstring>
#include <utility>

#include "compare/matrix.h"
#include "format/adapter_file.h"
#include "format/dtype.h"

namespace wshare {
namespace {

std::string dtype_name(int32_t dtype) { return std::string(find_dtype(dtype)->name); }

std::vector<int64_t> with_rank(std::vector<int64_t> shape, uint64_t rank) {
  for (int64_t& dim : shape) {
    if (dim < 0) dim = static_cast<int64_t>(rank);
  }
  return shape;
}

// The factors of every weight that the task changes, by tensor of the base.
std::map<int32_t, const StoredFactors*> changed_weights(const TaskChanges& changes) {
  std::map<int32_t, const StoredFactors*> weights;
  for (const auto& [index, merged] : changes.merged)
    weights[changes.comparison.tensors[index].a] = &merged.factors;
  for (const UnmergedPair& pair : changes.unmerged) weights[pair.weight] = &pair.factors;
  return weights;
}

// True if what serves the task makes this merged weight of the base's and its factors.
bool is_served_by_factors(const ExtractTask& task, size_t index) {
  return !task.model || task.rewritten.count(static_cast<int32_t>(index)) != 0;
}

// A range that holds `view` of stored factors: `in_a` says in which of the two.
DraftMatrix matrix_at(const MatrixView& view, DraftBytes bytes) {
  return {std::move(bytes), dtype_name(view.dtype), view.transposed};
}

// Whether `view` looks at A, not at B.
bool looks_at_a(const StoredFactors& factors, const MatrixView& view) {
  return view.bytes.data() == factors.a.data();
}

// Where the two factors of each weight will lie.
class FactorPlaces {
 public:
  FactorPlaces(const ExtractTask& task, size_t model_tensors)
      : task_(task), model_tensors_(model_tensors) {}

  DraftMatrix place(int32_t weight, int32_t task_tensor, const StoredFactors& factors,
                    const MatrixView& view) const {
    const bool a = looks_at_a(factors, view);
    const auto rewritten = task_.rewritten.find(task_tensor);
    if (task_.model && rewritten != task_.rewritten.end()) {
      // The tensors that come with the edit follow the model's own: A and B of each in order.
      const auto number = static_cast<size_t>(std::distance(task_.rewritten.begin(), rewritten));
      return matrix_at(view, {*task_.model, model_tensors_ + 2 * number + (a ? 0 : 1), 0, 0});
    }
    return matrix_at(view, in_adapter(weight, a, view.bytes.size()));
  }

  DraftBytes in_adapter(int32_t weight, bool a, uint64_t size) const {
    const auto& [at_a, at_b] = task_.factors_at.at(weight);
    return {std::nullopt, 0, a ? at_a : at_b, size};
  }

 private:
  const ExtractTask& task_;
  size_t model_tensors_;
};

class Originals {
 public:
  Originals(const ExtractTask& task, const ScannedModel& original, const Draft& draft,
            bool has_residual)
      : task_(task),
        original_(original),
        draft_(draft),
        has_residual_(has_residual),
        places_(task, original.tensors.size()) {}

  std::vector<DraftTaskTensor> run() {
    tensors_.resize(original_.tensors.size());
    uint64_t residual = 0;
    for (const auto& [index, merged] : task_.changes.merged) {
      if (!is_served_by_factors(task_, index)) continue;
      place_merged(index, merged, residual);
      residual += merged.residual.size();
    }
    for (const auto& [index, offset] : task_.vectors_at) place_vector(index, offset);
    if (!task_.model) {
      for (const UnmergedPair& pair : task_.changes.unmerged) {
        place_pair(pair, residual);
        residual += pair.b_residual.size();
      }
    }
    for (size_t t = 0; t < tensors_.size(); ++t) {
      if (!tensors_[t].derivation && !tensors_[t].bytes) tensors_[t] = place_rest(t);
    }
    return std::move(tensors_);
  }

 private:
  const ModelComparison& comparison() const { return task_.changes.comparison; }

  bool is_placed(size_t model, int32_t tensor) const {
    return draft_.plan.extents[model][static_cast<size_t>(tensor)].has_value();
  }

  void place_merged(size_t index, const MergedWeight& merged, uint64_t residual) {
    const TensorMatch& match = comparison().tensors[index];
    if (!is_placed(0, match.a)) return;  // small: literal
    DraftDerivation derivation;
    const StoredFactors& factors = merged.factors;
    const FactorViews views = factors.views(match.transposed);
    derivation.base =
        DraftMatrix{{0, static_cast<size_t>(match.a), 0, 0}, dtype_of(match.b), match.transposed};
    derivation.rank = factors.rank;
    derivation.left = places_.place(match.a, match.b, factors, views.left);
    derivation.right = places_.place(match.a, match.b, factors, views.right);
    derivation.residual_offset = residual;
    derivation.residual_size = merged.residual.size();
    derivation.exact = has_residual_ || merged.predicted;
    derivation.relative_error = merged.relative_error;
    derivation.max_abs_error = merged.max_abs_error;
    tensors_[static_cast<size_t>(match.b)].derivation = std::move(derivation);
  }

  void place_vector(size_t index, uint64_t offset) {
    if (task_.model) return;
    const auto tensor = static_cast<size_t>(comparison().tensors[index].b);
    tensors_[tensor].bytes = DraftBytes{{}, 0, offset, original_.tensors[tensor].bytes.size()};
  }

  std::string dtype_of(int32_t tensor) const {
    return dtype_name(original_.tensors[static_cast<size_t>(tensor)].dtype);
  }

  int32_t tensor_of(int32_t value) const {
    return comparison().graph_b.values[static_cast<size_t>(value)].tensor;
  }

  // A and B of an unmerged pair lie in the adapter, B scaled.
  void place_pair(const UnmergedPair& pair, uint64_t residual) {
    const LoraModule& module = comparison().lora_b[pair.module];
    const bool conv = pair.factors.layout == FactorLayout::kConv;
    const auto derive = [&](bool a, const MatrixView& seen) {
      // The adapter holds what the layer reads; a Conv reads it turned. The task stores either.
      DraftDerivation derivation;
      derivation.base = DraftMatrix{places_.in_adapter(pair.weight, a, seen.bytes.size()),
                                    dtype_name(seen.dtype), seen.transposed != conv};
      return derivation;
    };
    DraftTaskTensor& a = tensors_[static_cast<size_t>(tensor_of(module.a))];
    if (pair.a.transposed == conv) {
      a.bytes = places_.in_adapter(pair.weight, true, pair.a.bytes.size());
    } else {
      a.derivation = derive(true, pair.a);
    }
    DraftTaskTensor& b = tensors_[static_cast<size_t>(tensor_of(module.b))];
    b.derivation = derive(false, pair.b);
    b.derivation->multiplier = 1 / module.scaling;
    b.derivation->residual_offset = residual;
    b.derivation->residual_size = pair.b_residual.size();
    b.derivation->exact = has_residual_ || pair.predicted;
  }

  // Equal to a tensor of the base, its transpose, or only in the task.
  DraftTaskTensor place_rest(size_t t) const {
    DraftTaskTensor placed;
    if (task_.model) {
      if (draft_.plan.extents[*task_.model][t]) placed.bytes = DraftBytes{*task_.model, t, 0, 0};
      return placed;
    }
    const TensorMatch& match = comparison().tensors[t];
    if (match.a == kAbsent || !is_placed(0, match.a)) return placed;
    const DraftBytes base{0, static_cast<size_t>(match.a), 0, 0};
    if (match.tensor_class == TensorClass::kSame || match.tensor_class == TensorClass::kRenamed) {
      placed.bytes = base;
    } else if (match.tensor_class == TensorClass::kTransposed &&
               matrix_of(original_.tensors[t]).has_value()) {
      placed.derivation.emplace();
      placed.derivation->base = DraftMatrix{base, dtype_of(match.b), true};
    }
    return placed;
  }

  const ExtractTask& task_;
  const ScannedModel& original_;
  const Draft& draft_;
  bool has_residual_;
  FactorPlaces places_;
  std::vector<DraftTaskTensor> tensors_;
};

// True if a task's own model may read the base's weight and a branch in place of `merged`.
bool can_be_rewritten(const TensorMatch& match, const MergedWeight& merged, const BaseSites& sites,
                      const ScannedModel& base, const ScannedModel& model,
                      const ExtractOptions& options) {
  if (match.transposed || (options.exact && !merged.predicted)) return false;
  const TensorRef& weight = model.tensors[static_cast<size_t>(match.b)];
  const TensorRef& of_base = base.tensors[static_cast<size_t>(match.a)];
  if (weight.shape != of_base.shape || reason_to_stay(weight, options.min_bytes) ||
      reason_to_stay(of_base, options.min_bytes)) {
    return false;
  }
  const auto site = sites.sites.find(match.b);
  return site != sites.sites.end() && site->second.layout == merged.factors.layout &&
         site->second.dtype == merged.factors.dtype;
}

TensorRef added_tensor(const BranchTensor& tensor, std::span<const std::byte> bytes) {
  TensorRef added;
  added.name = tensor.name;
  added.dtype = tensor.dtype;
  added.shape = tensor.shape;
  added.bytes = bytes;
  return added;
}

}  // namespace

void make_adapter(ExtractTask& task, const BaseSites& sites, const ScannedModel& base,
                  const ScannedModel& model, SharedScratch& scratch) {
  std::vector<NamedTensor> parameters;
  std::vector<int32_t> weights;
  for (const auto& [weight, factors] : changed_weights(task.changes)) {
    const BaseSite& site = sites.sites.at(weight);
    parameters.push_back(
        {site.a_name, site.dtype, with_rank(site.a_shape, factors->rank), factors->a});
    parameters.push_back(
        {site.b_name, site.dtype, with_rank(site.b_shape, factors->rank), factors->b});
    weights.push_back(weight);
  }
  for (const size_t index : task.changes.vectors) {
    const TensorMatch& match = task.changes.comparison.tensors[index];
    const TensorRef& vector = model.tensors[static_cast<size_t>(match.b)];
    parameters.push_back({base.tensors[static_cast<size_t>(match.a)].name, vector.dtype,
                          vector.shape, vector.bytes});
  }
  if (parameters.empty()) return;
  for (const NamedTensor& parameter : parameters) {
    task.parameters.push_back({parameter.name, dtype_name(parameter.dtype), parameter.shape});
  }
  const AdapterLayout layout = lay_out_adapter(parameters);
  for (size_t i = 0; i < weights.size(); ++i) {
    task.factors_at[weights[i]] = {layout.offsets[2 * i], layout.offsets[2 * i + 1]};
  }
  size_t next = 2 * weights.size();
  for (const size_t index : task.changes.vectors) task.vectors_at[index] = layout.offsets[next++];
  const std::span<std::byte> file = scratch.allocate(static_cast<size_t>(layout.size));
  std::span<std::byte> rest = file;
  write_adapter(layout, parameters, [&](std::span<const std::byte> bytes) {
    std::memcpy(rest.data(), bytes.data(), bytes.size());
    rest = rest.subspan(bytes.size());
  });
  task.adapter = file;
}

ModelEdit edit_own_model(ExtractTask& task, const ScannedModel& base, const ScannedModel& model,
                         const ExtractOptions& options) {
  ModelEdit edit;
  const BaseSites sites = find_base_sites(model);
  for (const auto& [index, merged] : task.changes.merged) {
    const TensorMatch& match = task.changes.comparison.tensors[index];
    if (can_be_rewritten(match, merged, sites, base, model, options))
      task.rewritten.insert(match.b);
  }
  std::vector<PlacedBranch> branches;
  for (const int32_t tensor : task.rewritten) {
    const auto index = static_cast<size_t>(tensor);
    const StoredFactors& factors = task.changes.merged.at(index).factors;
    const BaseSite& site = sites.sites.at(tensor);
    const TensorRef& weight = model.tensors[index];
    branches.push_back(
        {weight.scope, weight.name, site,
         BranchTensor{site.a_name, site.dtype, with_rank(site.a_shape, factors.rank)},
         BranchTensor{site.b_name, site.dtype, with_rank(site.b_shape, factors.rank)}});
    edit.added.push_back(added_tensor(*branches.back().a, factors.a));
    edit.added.push_back(added_tensor(*branches.back().b, factors.b));
    const int32_t of_base = task.changes.comparison.tensors[index].a;
    edit.substitutes[index] = base.tensors[static_cast<size_t>(of_base)].bytes;
  }
  if (branches.empty()) return edit;
  edit.is_original = false;
  edit.apply = [branches = std::move(branches)](onnx::ModelProto& proto,
                                                std::span<const ExternalPlace> places) {
    put_branches(proto, branches, places);
  };
  return edit;
}

std::vector<DraftTaskTensor> place_originals(const ExtractTask& task, const ScannedModel& original,
                                             const Draft& draft, bool has_residual) {
  if (task.model && task.rewritten.empty()) return {};
  return Originals(task, original, draft, has_residual).run();
}

std::vector<std::span<const std::byte>> residuals_of(const ExtractTask& task) {
  std::vector<std::span<const std::byte>> residuals;
  for (const auto& [index, merged] : task.changes.merged) {
    if (is_served_by_factors(task, index) && !merged.residual.empty())
      residuals.push_back(merged.residual);
  }
  if (task.model) return residuals;
  for (const UnmergedPair& pair : task.changes.unmerged) {
    if (!pair.b_residual.empty()) residuals.push_back(pair.b_residual);
  }
  return residuals;
}

}  // namespace wshare
