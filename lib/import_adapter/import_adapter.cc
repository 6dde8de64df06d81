#include "wshare/import_adapter.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "bundle/edit.h"
#include "bundle/plan.h"
#include "bundle/replace_model.h"
#include "bundle/start.h"
#include "format/adapter_file.h"
#include "import_adapter/adapter.h"
#include "import_adapter/match_modules.h"
#include "import_adapter/task_file.h"
#include "lora/base_weights.h"
#include "lora/new_base.h"
#include "util/as_text.h"
#include "util/name_list.h"
#include "util/output_folder.h"
#include "util/parallel.h"
#include "util/paths.h"
#include "util/text.h"
#include "wshare/error.h"

namespace fs = std::filesystem;

// lock ─ base of the bundle ─ adapter ─ each module to its weight ─ A and B as the base takes them
//                                                                   │
//   manifest.json (the commit) ◄─ restore records of the base ◄─ base with more inputs ◄─ task file
//
// All that can be refused is refused before the first file is made. Files that the bundle has stay
// as they are; a base that lacks inputs gets a new file, and the old one goes after the commit.

namespace wshare {
namespace {

ModelRecord& model_called(Manifest& manifest, const std::string& name) {
  const auto number = &find_model(manifest, name) - manifest.models.data();
  return manifest.models[static_cast<size_t>(number)];
}

ModelRecord& choose_base(Manifest& manifest, const std::string& wanted) {
  if (!wanted.empty()) return model_called(manifest, wanted);
  std::set<std::string> bases = bases_of_tasks(manifest);
  if (bases.empty()) {
    for (const ModelRecord& model : manifest.models) bases.insert(model.name);
  }
  if (bases.size() == 1) return model_called(manifest, *bases.begin());
  throw Error(ErrorCode::kInvalid,
              "the bundle has " + std::to_string(bases.size()) +
                  " models that the adapter may be for: " + list_in_quotes(bases),
              "say which one: --base NAME");
}

std::string choose_name(const Manifest& manifest, const fs::path& adapter,
                        const std::string& wanted) {
  const std::string name = wanted.empty() ? task_name_of(adapter) : wanted;
  const char* hint = "give it another name: --name TASK";
  if (!is_file_name(name)) {
    throw Error(ErrorCode::kInvalid, in_quotes(name) + ": cannot be the name of a task", hint);
  }
  if (const char* owner = owner_of_name(manifest, name)) {
    throw Error(ErrorCode::kInvalid,
                in_quotes(name) + ": the bundle has a " + owner + " of this name", hint);
  }
  return name;
}

class Import {
 public:
  Import(const fs::path& bundle, Manifest manifest, const fs::path& adapter,
         const ImportOptions& options)
      : bundle_(bundle),
        progress_(options.progress),
        manifest_(std::move(manifest)),
        threads_(thread_count(options.threads)),
        base_(choose_base(manifest_, options.base)),
        task_(choose_name(manifest_, adapter, options.task)),
        model_(scan_model(bundle / base_.file)) {
    check_model_file(base_, model_.file.file(), threads_);
    weights_ = find_base_weights(model_);
    std::vector<std::string> inputs;
    for (const BaseInput& input : weights_.inputs) inputs.push_back(input.name);
    given_.emplace(load_adapter(adapter, inputs));
    weight_of_ = match_modules(given_->modules, weights_);
    check_base_weights(given_->base_weights, weights_, model_);
    file_ = make_task_file(*given_, weight_of_, weights_, scratch_);
    layout_ = lay_out_adapter(file_.parameters);
    for (const size_t weight : std::set<size_t>(weight_of_.begin(), weight_of_.end())) {
      if (!weights_.weights[weight].has_branch) added_.push_back(weights_.weights[weight]);
    }
  }

  // Makes the new files of the bundle up, and the manifest that names them.
  void compose() {
    std::vector<std::string> taken = names_in_folder(bundle_);
    for (const BundleFile& file : files_of(manifest_)) taken.push_back(file.name);
    UnusedNames names(taken);
    adapter_name_ = new_file_name(names, task_, ".onnx_adapter");
    if (!added_.empty()) compose_base(names);
    TaskRecord& task = manifest_.tasks.emplace_back();
    task.name = task_;
    task.base = base_.name;
    task.adapter = static_cast<uint32_t>(manifest_.blobs.size());
    task.parameters = records_of(file_);
    manifest_.blobs.push_back({adapter_name_, layout_.size});
  }

  // The files that write() makes.
  std::vector<std::string> files() const {
    std::vector<std::string> files = {adapter_name_};
    for (const auto& [name, bytes] : new_files_) files.push_back(name);
    return files;
  }

  // Writes all files but the manifest, and returns that.
  const Manifest& write() {
    write_files(bundle_, new_files_);
    OutputFile file(bundle_ / adapter_name_, layout_.size);
    ContentHasher hasher;
    write_adapter(layout_, file_.parameters, [&](std::span<const std::byte> bytes) {
      hasher.update(bytes);
      file.write(bytes);
      if (progress_) progress_("writing", file.offset(), layout_.size);
    });
    file.close();
    manifest_.blobs.back().hash = hasher.digest();
    given_->file.check_unchanged();
    model_.file.file().check_unchanged();
    return manifest_;
  }

  ImportReport report() const {
    ImportReport report;
    report.task = task_;
    report.base = base_.name;
    report.adapter = adapter_name_;
    report.adapter_bytes = layout_.size;
    report.model = base_.file;
    report.new_model = !added_.empty();
    std::vector<std::pair<size_t, size_t>> order;  // weight, module
    for (size_t m = 0; m < weight_of_.size(); ++m) order.emplace_back(weight_of_[m], m);
    std::sort(order.begin(), order.end());
    for (const auto& [weight, m] : order) {
      const GivenModule& module = given_->modules[m];
      report.mapping.push_back(
          {module.path, weights_.weights[weight].name, module.rank, module.scaling});
    }
    for (const NamedTensor& value : given_->values) add_value(value, report);
    return report;
  }

 private:
  // A and B for a branch that the base has are a module; other values are themselves.
  void add_value(const NamedTensor& value, ImportReport& report) const {
    for (const BaseWeight& weight : weights_.weights) {
      if (!weight.has_branch) continue;
      if (weight.b_name == value.name) return;
      if (weight.a_name != value.name) continue;
      report.mapping.push_back({weight.path, weight.name, rank_of(weight, value), 1});
      return;
    }
    report.mapping.push_back({value.name, value.name, 0, 1});
  }

  void compose_base(UnusedNames& names) {
    std::string model = add_inputs(model_, added_, {});
    new_files_ = replace_model(manifest_, bundle_, base_.name, as_text(model_.file.file().bytes()),
                               std::move(model), names);
  }

  const fs::path& bundle_;
  const ProgressFn& progress_;
  Manifest manifest_;
  unsigned threads_;
  ModelRecord& base_;  // in manifest_
  std::string task_;
  ScannedModel model_;
  BaseWeights weights_;
  std::optional<GivenAdapter> given_;
  std::vector<size_t> weight_of_;  // [module]
  std::vector<BaseWeight> added_;  // that get inputs
  Scratch scratch_;
  TaskFile file_;
  AdapterLayout layout_;
  std::string adapter_name_;
  std::vector<NewFile> new_files_;  // beside the adapter
};

}  // namespace

ImportReport import_adapter(const fs::path& bundle, const fs::path& path,
                            const ImportOptions& options) {
  std::optional<BundleEdit> edit;  // a dry run only reads, also what it may not write to
  if (!options.dry_run) edit.emplace(bundle, "import-adapter", options.wait);
  if (options.progress) options.progress("reading", 0, 0);
  Import job(bundle, edit ? edit->manifest() : load_manifest(bundle), path, options);
  job.compose();
  if (!edit) return job.report();
  edit->announce(job.files());
  edit->publish(job.write(), thread_count(options.threads));
  return job.report();
}

}  // namespace wshare
