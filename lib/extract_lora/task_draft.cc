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

// True if a task's own model may read the base's weight and a branch in place of `merged`.
bool can_be_rewritten(const TaskTensor& tensor, const MergedWeight& merged, const TensorRef& weight,
                      const BaseSite* site, const ScannedModel& base,
                      const ExtractOptions& options) {
  if (tensor.transposed || (options.exact && !merged.predicted)) return false;
  const TensorRef& of_base = base.tensors[static_cast<size_t>(tensor.base)];
  if (weight.shape != of_base.shape || reason_to_stay(weight, options.min_bytes) ||
      reason_to_stay(of_base, options.min_bytes)) {
    return false;
  }
  return site != nullptr && site->layout == merged.factors.layout &&
         site->dtype == merged.factors.dtype;
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
  for (const auto& [weight, factors] : task.changes.factors()) {
    const BaseSite& site = sites.sites.at(weight);
    parameters.push_back(
        {site.a_name, site.dtype, with_rank(site.a_shape, factors->rank), factors->a});
    parameters.push_back(
        {site.b_name, site.dtype, with_rank(site.b_shape, factors->rank), factors->b});
    weights.push_back(weight);
  }
  for (const size_t index : task.changes.vectors) {
    const TensorRef& vector = model.tensors[index];
    const auto of_base = static_cast<size_t>(task.changes.tensors[index].base);
    parameters.push_back({base.tensors[of_base].name, vector.dtype, vector.shape, vector.bytes});
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
    const auto tensor = static_cast<int32_t>(index);
    const auto site = sites.sites.find(tensor);
    if (can_be_rewritten(task.changes.tensors[index], merged, model.tensors[index],
                         site == sites.sites.end() ? nullptr : &site->second, base, options)) {
      task.rewritten.insert(tensor);
    }
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
    const int32_t of_base = task.changes.tensors[index].base;
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
