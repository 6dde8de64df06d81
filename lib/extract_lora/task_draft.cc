#include "extract_lora/task_draft.h"

#include <onnx/onnx_pb.h>

#include <cstring>
#include <utility>

#include "format/adapter_file.h"
#include "lora/branches.h"
#include "model/externalize.h"

namespace wshare {
namespace {

// True if a task's own model may read the base's weight and a branch in place of `merged`.
bool can_be_rewritten(const TaskTensor& tensor, const MergedWeight& merged, const TensorRef& weight,
                      const BranchSite* site, const ScannedModel& base,
                      const ExtractOptions& options) {
  if (merged.is_head || tensor.transposed || (options.exact && !merged.predicted)) return false;
  const TensorRef& of_base = base.tensors[static_cast<size_t>(tensor.base)];
  if (weight.shape != of_base.shape || reason_to_stay(weight, options.min_bytes) ||
      reason_to_stay(of_base, options.min_bytes)) {
    return false;
  }
  return site != nullptr && site->layout == merged.factors.layout &&
         site->dtype == merged.factors.dtype;
}

TensorRef added_tensor(const std::string& name, const BranchSite& site,
                       const std::vector<int64_t>& shape, const StoredFactors& factors,
                       std::span<const std::byte> bytes) {
  TensorRef added;
  added.name = name;
  added.dtype = site.dtype;
  added.shape = with_rank(shape, factors.rank);
  added.bytes = bytes;
  return added;
}

onnx::TensorProto external_tensor(int32_t dtype, const std::vector<int64_t>& shape,
                                  const ExternalReference& place) {
  onnx::TensorProto proto;
  proto.set_data_type(dtype);
  for (const int64_t dim : shape) proto.add_dims(dim);
  set_external(proto, place);
  return proto;
}

// A site and the rank of the constants that go there.
struct ConstantBranch {
  BranchSite site;
  uint64_t rank = 0;
};

// Puts `branches` into `model`; `places` are those of A and B of each in turn.
void add_constant_branches(onnx::ModelProto& model, const std::vector<ConstantBranch>& branches,
                           std::span<const ExternalReference> places) {
  std::vector<onnx::TensorProto> factors;
  factors.reserve(2 * branches.size());
  std::vector<Branch> added;
  for (const auto& [site, rank] : branches) {
    const size_t at = factors.size();
    factors.push_back(external_tensor(site.dtype, with_rank(site.a_shape, rank), places[at]));
    factors.push_back(external_tensor(site.dtype, with_rank(site.b_shape, rank), places[at + 1]));
    added.push_back({site, &factors[at], &factors[at + 1]});
  }
  add_branches(model, added);
}

}  // namespace

void make_adapter(ExtractTask& task, const BranchSites& sites, const ScannedModel& base,
                  const ScannedModel& model, SharedScratch& scratch) {
  std::vector<NamedTensor> parameters;
  std::vector<int32_t> weights;
  for (const auto& [weight, factors] : task.changes.factors()) {
    const BranchSite& site = *sites.find(weight);
    parameters.push_back(
        {site.names.a, site.dtype, with_rank(site.a_shape, factors->rank), factors->a});
    parameters.push_back(
        {site.names.b, site.dtype, with_rank(site.b_shape, factors->rank), factors->b});
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

ModelRewrite edit_own_model(ExtractTask& task, const ScannedModel& base, const ScannedModel& model,
                            const ExtractOptions& options) {
  ModelRewrite edit;
  const BranchSites sites = find_branch_sites(model);
  for (const auto& [index, merged] : task.changes.merged) {
    const auto tensor = static_cast<int32_t>(index);
    if (can_be_rewritten(task.changes.tensors[index], merged, model.tensors[index],
                         sites.find(tensor), base, options)) {
      task.rewritten.insert(tensor);
    }
  }
  std::vector<ConstantBranch> branches;
  for (const int32_t tensor : task.rewritten) {
    const auto index = static_cast<size_t>(tensor);
    const StoredFactors& factors = task.changes.merged.at(index).factors;
    const BranchSite& site = *sites.find(tensor);
    branches.push_back({site, factors.rank});
    edit.added.push_back(added_tensor(site.names.a, site, site.a_shape, factors, factors.a));
    edit.added.push_back(added_tensor(site.names.b, site, site.b_shape, factors, factors.b));
    const int32_t of_base = task.changes.tensors[index].base;
    edit.substitutes[index] = base.tensors[static_cast<size_t>(of_base)].bytes;
  }
  if (branches.empty()) return edit;
  edit.is_original = false;
  edit.apply = [branches = std::move(branches)](onnx::ModelProto& proto,
                                                std::span<const ExternalReference> places) {
    add_constant_branches(proto, branches, places);
  };
  return edit;
}

}  // namespace wshare
