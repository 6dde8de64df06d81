#include "import_adapter/base_import.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "format/bundle_files.h"
#include "lora/new_base.h"
#include "util/as_text.h"
#include "util/output_folder.h"
#include "util/text.h"
#include "wshare/error.h"

namespace fs = std::filesystem;

namespace wshare {

BaseImport::BaseImport(const fs::path& bundle, const ModelRecord& base, unsigned threads)
    : base_(base), model_(scan_model(bundle / base.file)) {
  check_model_file(base_, model_.file.file(), threads);
  sites_ = find_branch_sites(model_);
}

void BaseImport::take(const GivenAdapter& given, std::vector<ModuleMatch> matches,
                      const std::vector<WholeMatch>& whole, std::string task) {
  given_ = &given;
  matches_ = std::move(matches);
  task_ = std::move(task);
  file_ = make_task_file(given, matches_, sites_, scratch_);
  add_whole(whole);
  if (file_.parameters.empty()) {
    throw Error(ErrorCode::kInvalid, "the adapter has nothing for base " + in_quotes(base_.name),
                "leave it out: --base names those that the adapter is for");
  }
  layout_ = lay_out_adapter(file_.parameters);
  for (const ModuleMatch& match : matches_) {
    const BranchSite& weight = sites_.sites[match.weight];
    if (!weight.branch) added_.push_back(weight);
  }
  give_defaults();
  check_values();
}

void BaseImport::add_whole(const std::vector<WholeMatch>& whole) {
  std::vector<NamedTensor> added;
  for (const WholeMatch& match : whole) {
    const NamedTensor& given = given_->whole[match.given];
    if (match.same) {
      same_.push_back(given.name);
      continue;
    }
    for (const ModuleMatch& module : matches_) {
      if (sites_.sites[module.weight].tensor != match.tensor) continue;
      throw Error(ErrorCode::kInvalid, in_quotes(given.name) +
                                           ": the adapter has it whole, and a LoRA of module " +
                                           in_quotes(given_->modules[module.module].path));
    }
    const std::string& name = model_.tensors[static_cast<size_t>(match.tensor)].name;
    whole_.push_back({given.name, name, 0, 1});
    for (NamedTensor& parameter : parameters_of(match, given, matched(), scratch_))
      added.push_back(std::move(parameter));
    if (match.site != nullptr && !match.site->branch) added_.push_back(*match.site);
    if (match.site == nullptr && !sites_.inputs.contains(name)) vectors_.push_back(name);
  }
  first_value_ = 2 * matches_.size() + added.size();
  file_.parameters.insert(file_.parameters.begin() + static_cast<ptrdiff_t>(2 * matches_.size()),
                          added.begin(), added.end());
}

// A base whose factors must be given runs with adapters only, and only with those that have all of
// them. As a base of tasks it gets defaults for all, which add nothing.
void BaseImport::give_defaults() {
  const bool has_some = std::any_of(
      file_.parameters.begin(), file_.parameters.end(),
      [&](const NamedTensor& parameter) { return sites_.needed_factors.contains(parameter.name); });
  if (!has_some) return;
  for (const std::string& name : sites_.needed_factors) {
    sites_.inputs.at(name).has_default = true;
    defaulted_.push_back(name);
  }
}

// Of inputs that the base has; those that are new fit.
void BaseImport::check_values() {
  std::vector<NamedTensor> values;
  for (const NamedTensor& parameter : file_.parameters) {
    if (sites_.inputs.contains(parameter.name)) values.push_back(parameter);
  }
  check_parameters(task_, values, sites_.inputs);
}

std::optional<ReplacedModel> BaseImport::compose(Manifest& manifest, UnusedNames& names) {
  adapter_name_ = names.make(task_, ".onnx_adapter");
  blob_ = manifest.blobs.size();
  TaskRecord& task = manifest.tasks.emplace_back();
  task.name = task_;
  task.base = base_.name;
  task.adapter = static_cast<uint32_t>(blob_);
  task.parameters = records_of(file_);
  manifest.blobs.push_back({adapter_name_, layout_.size});
  if (added_.empty() && defaulted_.empty() && vectors_.empty()) return std::nullopt;
  return ReplacedModel{base_.name, as_text(model_.file.file().bytes()),
                       add_inputs(model_, added_, vectors_, defaulted_)};
}

void BaseImport::write(Manifest& manifest, const fs::path& bundle,
                       const std::function<void(uint64_t)>& on_bytes) {
  OutputFile file(bundle / adapter_name_, layout_.size);
  ContentHasher hasher;
  write_adapter(layout_, file_.parameters, [&](std::span<const std::byte> bytes) {
    hasher.update(bytes);
    file.write(bytes);
    on_bytes(file.offset());
  });
  file.close();
  manifest.blobs[blob_].hash = hasher.digest();
}

ImportReport BaseImport::report(const Manifest& manifest) const {
  ImportReport report;
  report.task = task_;
  report.base = base_.name;
  report.adapter = adapter_name_;
  report.adapter_bytes = layout_.size;
  report.model = find_model(manifest, base_.name).file;
  report.new_model = !added_.empty() || !defaulted_.empty() || !vectors_.empty();
  report.same = same_;
  for (const ModuleMatch& match : matches_) {
    const GivenModule& module = given_->modules[match.module];
    report.mapping.push_back(
        {module.path, sites_.sites[match.weight].name, module.rank, module.scaling});
  }
  report.mapping.insert(report.mapping.end(), whole_.begin(), whole_.end());
  for (size_t i = first_value_; i < file_.parameters.size(); ++i)
    add_value(file_.parameters[i], report);
  return report;
}

// A and B for a branch that the base has are a module; other values are themselves.
void BaseImport::add_value(const NamedTensor& value, ImportReport& report) const {
  for (const BranchSite& weight : sites_.sites) {
    if (!weight.branch) continue;
    if (weight.inputs().b == value.name) return;
    if (weight.inputs().a != value.name) continue;
    report.mapping.push_back({weight.path, weight.name, rank_of(weight, value), 1});
    return;
  }
  report.mapping.push_back({value.name, value.name, 0, 1});
}

}  // namespace wshare
