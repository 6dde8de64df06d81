#include "extract_lora/task_draft.h"

#include <cstring>
#include <utility>

#include "format/adapter_file.h"

namespace wshare {
namespace {

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
    task.parameters.push_back({parameter.name, parameter.dtype, parameter.shape});
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

}  // namespace wshare
