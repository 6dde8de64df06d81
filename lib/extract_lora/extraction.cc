#include "extract_lora/extraction.h"

#include <algorithm>
#include <iterator>

#include "bundle/start.h"
#include "bundle/task_record.h"
#include "extract_lora/common_base.h"
#include "extract_lora/report.h"
#include "extract_lora/task_originals.h"
#include "lora/branches.h"
#include "lora/new_base.h"
#include "util/parallel.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {

Extraction::Extraction(std::vector<ModelInput> tasks, StoredBase base,
                       const ExtractOptions& options)
    : options_(options), stored_(std::move(base)) {
  inputs_.push_back({stored_->name(), stored_->path()});
  std::move(tasks.begin(), tasks.end(), std::back_inserter(inputs_));
}

ScannedModel Extraction::read_base() {
  if (stored_) return stored_->without_branches(folder_.path);
  if (!options_.base.empty()) return scan_model(inputs_[0].path);
  return scan_without_lora(inputs_[0].path, folder_.path);
}

void Extraction::read() {
  scanned_.push_back(read_base());
  std::vector<ScannedModel> models =
      scan_all({inputs_.begin() + 1, inputs_.end()}, thread_count(options_.threads));
  sites_ = find_branch_sites(scanned_[0]);
  if (stored_) stored_->name_branches(scanned_[0], sites_);
  // The base is put where it stays: the comparisons refer to it.
  scanned_.reserve(1 + models.size());
  const ComparisonBase base(scanned_[0], options_.threads, options_.progress);
  for (size_t i = 0; i < models.size(); ++i) {
    ExtractTask task;
    task.input = inputs_[i + 1];
    task.changes = find_changes(base, sites_, models[i], options_, scratch_);
    if (const std::optional<std::string> why = unrelated(task, models[i])) {
      if (!stored_) {
        throw Error(ErrorCode::kInvalid, *why,
                    "'wshare diff' shows all that differs; 'wshare dedupe' shares what is equal");
      }
      no_tasks_.push_back(*why);
      others_.emplace_back(task.input, std::move(models[i]));
      continue;
    }
    tasks_.push_back(std::move(task));
    scanned_.push_back(std::move(models[i]));
  }
  count_bytes();
}

std::vector<const ScannedModel*> Extraction::inputs() const {
  std::vector<const ScannedModel*> models;
  for (size_t i = stored_ ? 1 : 0; i < scanned_.size(); ++i) models.push_back(&scanned_[i]);
  for (const auto& [input, model] : others_) models.push_back(&model);
  return models;
}

void Extraction::count_bytes() {
  // A base that was made here, or lies in the bundle, is no input.
  const size_t first = stored_ || options_.base.empty() ? 1 : 0;
  const InputBytes bytes = input_bytes(std::span(scanned_).subspan(first));
  bytes_in_ = bytes.total;
  for (size_t i = 0; i < tasks_.size(); ++i) tasks_[i].bytes_in = bytes.of_model[i + 1 - first];
}

// Returns why a task that has nothing of the base's weights is another model, not a task of it.
std::optional<std::string> Extraction::unrelated(const ExtractTask& task,
                                                 const ScannedModel& model) const {
  uint64_t known = 0, all = 0;
  for (size_t t = 0; t < model.tensors.size(); ++t) {
    const TaskTensor& tensor = task.changes.tensors[t];
    const uint64_t bytes = model.tensors[t].bytes.size();
    all += bytes;
    if (tensor.base != kAbsent || tensor.tensor_class == TensorClass::kLora) known += bytes;
  }
  if (all == 0 || 2 * known >= all) return std::nullopt;
  return in_quotes(task.input.name) + ": is no variant of the base " + in_quotes(inputs_[0].name) +
         ": " +
         (task.changes.reasons.empty() ? "most of its weights have no counterpart"
                                       : task.changes.reasons.front());
}

void Extraction::compose() {
  draft_.inputs.push_back(inputs_[0]);
  draft_.models.push_back(std::move(scanned_[0]));
  for (size_t i = 0; i < tasks_.size(); ++i) add_task(tasks_[i], std::move(scanned_[i + 1]));
  for (auto& [input, model] : others_) {
    draft_.inputs.push_back(std::move(input));
    draft_.models.push_back(std::move(model));
  }
  edit_base();
  place_tensors(draft_, {options_.min_bytes, options_.threads, options_.progress});
  for (size_t i = 0; i < tasks_.size(); ++i) {
    DraftTask& drafted = draft_.tasks[i];
    drafted.tensors =
        place_originals(tasks_[i], original_of(draft_, drafted), draft_, options_.residual);
    if (options_.residual) drafted.residual = residuals_of(tasks_[i]);
  }
}

void Extraction::add_task(ExtractTask& task, ScannedModel model) {
  const bool is_adapter = task.changes.reasons.empty();
  if (is_adapter && options_.emit.adapter) {
    make_adapter(task, sites_, draft_.models[0], model, scratch_);
    for (const auto& [weight, offsets] : task.factors_at) weights_.insert(weight);
    for (const auto& [vector, offset] : task.vectors_at)
      vectors_.insert(task.changes.tensors[vector].base);
  }
  DraftTask& drafted = draft_.tasks.emplace_back();
  drafted.input = task.input;
  drafted.adapter = task.adapter;
  drafted.parameters = task.parameters;
  if (is_adapter && !options_.emit.onnx) {
    drafted.original.emplace(std::move(model));
  } else {
    add_own_model(task, std::move(model));
    drafted.model = task.model;
  }
}

void Extraction::add_own_model(ExtractTask& task, ScannedModel model) {
  const auto number = static_cast<uint32_t>(draft_.models.size());
  ModelRewrite edit = edit_own_model(task, draft_.models[0], model, options_);
  task.model = number;
  draft_.inputs.push_back(task.input);
  draft_.models.push_back(std::move(model));
  if (edit.apply) draft_.edits[number] = std::move(edit);
}

// Gives the base an input for A and B of each weight that an adapter changes, and for each vector.
void Extraction::edit_base() {
  if (stored_) {
    draft_.start = stored_->extend(weights_, vectors_, draft_.models[0], options_.threads);
    return;
  }
  if (!weights_.empty() || !vectors_.empty()) {
    std::vector<Branch> branches;
    for (const int32_t weight : weights_)
      branches.push_back({*sites_.find(weight), nullptr, nullptr});
    std::vector<std::string> inputs;
    for (const int32_t vector : vectors_)
      inputs.push_back(draft_.models[0].tensors[static_cast<size_t>(vector)].name);
    draft_.edits[0].apply = [branches = std::move(branches), inputs = std::move(inputs)](
                                onnx::ModelProto& proto, std::span<const ExternalReference>) {
      add_branches(proto, branches);
      for (const std::string& name : inputs) make_input(proto, name);
    };
  }
  if (options_.base.empty()) draft_.edits[0].is_original = false;
}

std::vector<PeftTask> Extraction::peft_tasks() const {
  if (options_.peft.folder.empty()) return {};
  return make_peft_tasks(sites_, tasks_, options_.peft.map);
}

ExtractReport Extraction::report(const BundleFiles& files) const {
  ExtractReport report = make_report(draft_, tasks_, files, bytes_in_, options_.min_bytes);
  const bool half = std::any_of(weights_.begin(), weights_.end(), [&](int32_t weight) {
    return sites_.find(weight)->dtype == kFloat16;
  });
  if (half) {
    report.base_note =
        "adapters are added in float16: ONNX Runtime before 1.32 may round the base's outputs at "
        "other places than without them; 'wshare run --against' shows by how much";
  }
  return report;
}

}  // namespace wshare
