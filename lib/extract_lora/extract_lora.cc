#include "wshare/extract_lora.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <set>
#include <thread>
#include <utility>

#include "bundle/draft.h"
#include "bundle/target.h"
#include "bundle/task_record.h"
#include "bundle/write.h"
#include "extract_lora/common_base.h"
#include "extract_lora/peft_output.h"
#include "extract_lora/report.h"
#include "extract_lora/task_draft.h"
#include "extract_lora/task_originals.h"
#include "lora/new_base.h"
#include "util/mapped_file.h"
#include "util/output_folder.h"
#include "util/parallel.h"
#include "util/temporary_folder.h"
#include "util/text.h"
#include "wshare/error.h"

namespace fs = std::filesystem;

// base + tasks ─ scan ─ compare each with the base ─ adapter, or a model of its own ─ draft ─ write
//
// The base and the models of their own go down the road of dedupe; adapters and residuals are files
// beside it. One task is compared at a time, so memory does not grow with their number but for
// factors and residuals, which lie in temporary files where they are large.

namespace wshare {
namespace {

// A name for a base that is none of the tasks'.
std::string unused_base_name(const std::vector<ModelInput>& tasks) {
  for (int number = 1;; ++number) {
    std::string name = number == 1 ? "base" : "base_" + std::to_string(number);
    const auto same = [&](const ModelInput& task) { return task.name == name; };
    if (std::none_of(tasks.begin(), tasks.end(), same)) return name;
  }
}

// The base first, then the tasks, without the base's own file. `base` may be empty: then it comes
// from the first task.
std::vector<ModelInput> resolve_all(const std::vector<ModelInput>& tasks, const std::string& base) {
  if (base.empty()) {
    std::vector<ModelInput> all = {{unused_base_name(tasks), tasks.at(0).path}};
    all.insert(all.end(), tasks.begin(), tasks.end());
    return all;
  }
  std::vector<ModelInput> all = resolve_inputs({base});
  if (all.size() != 1) {
    throw Error(ErrorCode::kInvalid,
                in_quotes(base) + ": holds " + std::to_string(all.size()) + " models",
                "--base wants one file");
  }
  const FileId of_base = file_id(all[0].path);
  for (const ModelInput& task : tasks) {
    if (file_id(task.path) == of_base) continue;
    if (task.name == all[0].name) {
      throw Error(ErrorCode::kInvalid, in_quotes(task.name) + ": name of the base and of a task",
                  "name one of them: NAME=file");
    }
    all.push_back(task);
  }
  if (all.size() == 1) throw Error(ErrorCode::kInvalid, "there is no task beside the base");
  return all;
}

class Extraction {
 public:
  Extraction(std::vector<ModelInput> inputs, const ExtractOptions& options)
      : inputs_(std::move(inputs)), options_(options) {}

  void read() {
    if (options_.base.empty()) {
      scanned_.push_back(scan_without_lora(inputs_[0].path, folder_.path));
    } else {
      scanned_.push_back(scan_model(inputs_[0].path));
    }
    std::vector<ScannedModel> tasks =
        scan_all({inputs_.begin() + 1, inputs_.end()}, thread_count(options_.threads));
    std::move(tasks.begin(), tasks.end(), std::back_inserter(scanned_));
    sites_ = find_base_sites(scanned_[0]);
    for (size_t i = 1; i < inputs_.size(); ++i) {
      ExtractTask& task = tasks_.emplace_back();
      task.input = inputs_[i];
      task.changes = find_changes(scanned_[0], sites_, scanned_[i], options_, scratch_);
      check_related(task, scanned_[i]);
    }
    // A base that was made here is no input.
    const size_t first = options_.base.empty() ? 1 : 0;
    const InputBytes bytes = input_bytes(std::span(scanned_).subspan(first));
    bytes_in_ = bytes.total;
    for (size_t i = 0; i < tasks_.size(); ++i) tasks_[i].bytes_in = bytes.of_model[i + 1 - first];
  }

  const std::vector<ScannedModel>& scanned() const { return scanned_; }

  // Makes the draft of the bundle.
  void compose() {
    draft_.inputs.push_back(inputs_[0]);
    draft_.models.push_back(std::move(scanned_[0]));
    std::set<int32_t> weights, vectors;  // of the base that some adapter changes
    for (size_t i = 0; i < tasks_.size(); ++i) {
      ExtractTask& task = tasks_[i];
      const bool is_adapter = task.changes.reasons.empty();
      if (is_adapter && options_.emit.adapter) {
        make_adapter(task, sites_, draft_.models[0], scanned_[i + 1], scratch_);
        for (const auto& [weight, offsets] : task.factors_at) weights.insert(weight);
        for (const auto& [match, offset] : task.vectors_at)
          vectors.insert(task.changes.comparison.tensors[match].a);
      }
      if (!is_adapter || options_.emit.onnx) add_own_model(task, std::move(scanned_[i + 1]));
      DraftTask& drafted = draft_.tasks.emplace_back();
      drafted.input = task.input;
      drafted.model = task.model;
      drafted.adapter = task.adapter;
      drafted.parameters = task.parameters;
      if (!task.model) drafted.original.emplace(std::move(scanned_[i + 1]));
    }
    if (!weights.empty() || !vectors.empty()) edit_base(weights, vectors);
    if (options_.base.empty()) draft_.edits[0].is_original = false;
    place_tensors(draft_, {options_.min_bytes, options_.threads, options_.progress});
    for (size_t i = 0; i < tasks_.size(); ++i) {
      DraftTask& drafted = draft_.tasks[i];
      drafted.tensors =
          place_originals(tasks_[i], original_of(draft_, drafted), draft_, options_.residual);
      if (options_.residual) drafted.residual = residuals_of(tasks_[i]);
    }
  }

  BundleFiles write(const fs::path& folder) const {
    return write_bundle(draft_, folder, options_.threads);
  }
  BundleFiles measure() const { return measure_bundle(draft_, options_.threads); }

  std::vector<PeftTask> peft_tasks() const {
    if (options_.peft.folder.empty()) return {};
    return make_peft_tasks(draft_.models[0], sites_, tasks_, options_.peft.map);
  }

  ExtractReport report(const BundleFiles& files) const {
    return make_report(draft_, tasks_, files, bytes_in_, options_.min_bytes);
  }

 private:
  // A task that has nothing of the base's weights is another model, not a task of it.
  void check_related(const ExtractTask& task, const ScannedModel& model) const {
    const ModelComparison& comparison = task.changes.comparison;
    uint64_t known = 0, all = 0;
    for (const TensorMatch& match : comparison.tensors) {
      if (match.b == kAbsent) continue;
      const uint64_t bytes = model.tensors[static_cast<size_t>(match.b)].bytes.size();
      all += bytes;
      if (match.a != kAbsent || match.tensor_class == TensorClass::kLora) known += bytes;
    }
    if (all == 0 || 2 * known >= all) return;
    throw Error(ErrorCode::kInvalid,
                in_quotes(task.input.name) + ": is no variant of the base " +
                    in_quotes(inputs_[0].name) + ": " +
                    (task.changes.reasons.empty() ? "most of its weights have no counterpart"
                                                  : task.changes.reasons.front()),
                "'wshare diff' shows all that differs; 'wshare dedupe' shares what is equal");
  }

  void add_own_model(ExtractTask& task, ScannedModel model) {
    const auto number = static_cast<uint32_t>(draft_.models.size());
    ModelEdit edit = edit_own_model(task, draft_.models[0], model, options_);
    task.model = number;
    draft_.inputs.push_back(task.input);
    draft_.models.push_back(std::move(model));
    if (edit.apply) draft_.edits[number] = std::move(edit);
  }

  // Gives the base an input for A and B of each of `weights`, and for each of `vectors`.
  void edit_base(const std::set<int32_t>& weights, const std::set<int32_t>& vectors) {
    std::vector<PlacedBranch> branches;
    for (const int32_t weight : weights) {
      const TensorRef& tensor = draft_.models[0].tensors[static_cast<size_t>(weight)];
      branches.push_back({tensor.scope, tensor.name, sites_.sites.at(weight), {}, {}});
    }
    std::vector<std::string> inputs;
    for (const int32_t vector : vectors)
      inputs.push_back(draft_.models[0].tensors[static_cast<size_t>(vector)].name);
    ModelEdit edit;
    edit.apply = [branches = std::move(branches), inputs = std::move(inputs)](
                     onnx::ModelProto& proto, std::span<const ExternalPlace>) {
      put_branches(proto, branches, {});
      for (const std::string& name : inputs) make_input(proto, name);
    };
    draft_.edits[0] = std::move(edit);
  }

  std::vector<ModelInput> inputs_;
  const ExtractOptions& options_;
  TemporaryFolder folder_;
  SharedScratch scratch_;
  std::vector<ScannedModel> scanned_;  // moved into draft_ by compose()
  BaseSites sites_;
  std::vector<ExtractTask> tasks_;
  Draft draft_;
  uint64_t bytes_in_ = 0;
};

}  // namespace

ExtractReport extract_lora(const std::vector<ModelInput>& tasks, const fs::path& bundle,
                           const ExtractOptions& options) {
  std::vector<ModelInput> inputs = resolve_all(tasks, options.base);
  if (!options.dry_run || !bundle.empty()) {
    check_target(bundle, inputs, options.replace || options.dry_run);
  }
  if (!options.peft.folder.empty() && !options.dry_run)
    check_peft_target(options.peft.folder, bundle, options.replace);
  auto extraction = std::make_unique<Extraction>(std::move(inputs), options);
  extraction->read();
  if (!bundle.empty()) {
    for (const ScannedModel& model : extraction->scanned()) check_external(bundle, model);
  }
  extraction->compose();
  const std::vector<PeftTask> peft_tasks = extraction->peft_tasks();
  if (options.dry_run) {
    ExtractReport report = extraction->report(extraction->measure());
    add_to_report(peft_tasks, report);
    return report;
  }
  if (options.progress) options.progress("writing", 0, 0);
  OutputFolder output(bundle, options.replace);
  ExtractReport report = extraction->report(extraction->write(output.path()));
  add_to_report(peft_tasks, report);
  std::optional<OutputFolder> peft;
  if (!peft_tasks.empty()) {
    peft.emplace(options.peft.folder, options.replace);
    write_peft_tasks(peft_tasks, report.base, peft->path());
  }
  // To unmap the inputs takes about as long as the disk does, so it happens meanwhile.
  const std::jthread unmap([gone = std::move(extraction)]() mutable { gone.reset(); });
  output.commit();
  if (peft) peft->commit();
  return report;
}

}  // namespace wshare
