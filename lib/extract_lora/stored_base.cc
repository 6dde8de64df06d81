#include "extract_lora/stored_base.h"

#include <algorithm>
#include <set>
#include <utility>

#include "bundle/start.h"
#include "extract_lora/common_base.h"
#include "lora/new_base.h"
#include "lora/remove_branches.h"
#include "util/as_text.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

bool is_same(const TensorRef& a, const TensorRef& b) {
  return a.name == b.name && a.dtype == b.dtype && a.shape == b.shape;
}

}  // namespace

StoredBase::StoredBase(fs::path folder, Manifest manifest, const std::string& name,
                       unsigned threads)
    : folder_(std::move(folder)),
      manifest_(std::move(manifest)),
      record_(find_model(manifest_, name)),
      model_(scan_model(folder_ / record_.file)),
      sites_(find_branch_sites(model_)) {
  check_model_file(record_, model_.file.file(), threads);
  // What must be given belongs to the model, not to a task.
  for (BranchSite& site : sites_.sites) {
    if (site.branch && sites_.needed_factors.contains(site.branch->a)) site.branch.reset();
  }
}

ScannedModel StoredBase::without_branches(const fs::path& folder) const {
  std::set<std::string> factors, defaults;
  for (const BranchSite& site : sites_.sites) {
    if (site.branch) factors.insert({site.branch->a, site.branch->b});
  }
  for (const TaskRecord& task : manifest_.tasks) {
    if (task.base != record_.name) continue;
    for (const ParameterRecord& parameter : task.parameters) {
      if (factors.count(parameter.name) == 0) defaults.insert(parameter.name);
    }
  }
  return scan_edited(
      model_, [&](onnx::ModelProto& proto) { remove_branches(proto, factors, defaults); }, folder);
}

void StoredBase::name_branches(const ScannedModel& plain, BranchSites& sites) {
  // What is stripped are tensors of branches: those that stay keep their order, but not their
  // scopes, which count nodes.
  size_t stored = 0;
  for (size_t t = 0; t < plain.tensors.size(); ++t) {
    size_t same = stored;
    while (same < model_.tensors.size() && !is_same(plain.tensors[t], model_.tensors[same])) ++same;
    if (same == model_.tensors.size()) continue;
    stored = same + 1;
    if (const BranchSite* site = sites_.find(static_cast<int32_t>(same)))
      site_of_[static_cast<int32_t>(t)] = site;
  }
  for (BranchSite& site : sites.sites) {
    const auto found = site_of_.find(site.tensor);
    if (found == site_of_.end()) {
      site.no_inputs = "the bundle's base has no place for a branch there";
    } else {
      site.names = found->second->inputs();
    }
  }
}

DraftStart StoredBase::extend(const std::set<int32_t>& weights, const std::set<int32_t>& vectors,
                              const ScannedModel& plain, unsigned threads) {
  DraftStart start = make_start(manifest_, folder_, threads);
  std::vector<BranchSite> missing;
  for (const int32_t weight : weights) {
    if (!site_of_.at(weight)->branch) missing.push_back(*site_of_.at(weight));
  }
  std::vector<std::string> defaults;
  for (const int32_t vector : vectors) {
    const std::string& name = plain.tensors[static_cast<size_t>(vector)].name;
    if (!sites_.inputs.contains(name)) defaults.push_back(name);
  }
  start.base_file = as_text(model_.file.file().bytes());
  if (missing.empty() && defaults.empty()) return start;
  UnusedNames names(start.names);
  new_files_ = replace_models(
      start.manifest, folder_,
      {{record_.name, *start.base_file, add_inputs(model_, missing, defaults)}}, names);
  for (const NewFile& file : new_files_) start.names.push_back(file.name);
  start.base_file = new_files_.front().bytes;
  return start;
}

}  // namespace wshare
