#include "extract_lora/report.h"

#include <algorithm>
#include <set>
#include <string>

#include "bundle/task_record.h"

namespace wshare {
namespace {

class TaskReport {
 public:
  TaskReport(const Draft& draft, const ExtractTask& task, const ScannedModel& original,
             uint64_t min_bytes)
      : draft_(draft), task_(task), original_(original), min_bytes_(min_bytes) {}

  std::vector<ExtractedTensor> tensors() {
    for (size_t i = 0; i < task_.changes.tensors.size(); ++i) add(i, task_.changes.tensors[i]);
    for (const UnmergedPair& pair : task_.changes.unmerged) add(pair);
    std::stable_sort(
        tensors_.begin(), tensors_.end(), [](const ExtractedTensor& a, const ExtractedTensor& b) {
          return a.bytes != b.bytes ? a.bytes > b.bytes : a.task_tensor < b.task_tensor;
        });
    return std::move(tensors_);
  }

 private:
  std::string base_name(int32_t tensor) const {
    return tensor == kAbsent ? ""
                             : full_name(draft_.models[0].tensors[static_cast<size_t>(tensor)]);
  }
  const TensorRef& of_task(int32_t tensor) const {
    return original_.tensors[static_cast<size_t>(tensor)];
  }

  // Whether the tensor comes from the factors in what serves the task.
  bool is_served_low(size_t index) const {
    if (task_.model && task_.adapter.empty())
      return task_.rewritten.count(static_cast<int32_t>(index)) != 0;
    return task_.changes.merged.count(index) != 0;
  }

  void add(size_t index, const TaskTensor& match) {
    if (match.tensor_class == TensorClass::kSame || match.tensor_class == TensorClass::kRenamed)
      return;
    const bool is_factor_of_pair = match.tensor_class == TensorClass::kLora;
    if (is_factor_of_pair && !task_.changes.unmerged.empty()) return;  // one row for each pair
    const TensorRef& tensor = original_.tensors[index];
    const bool travels =
        task_.changes.merged.count(index) != 0 || task_.changes.vectors.count(index) != 0;
    if (tensor.bytes.size() < min_bytes_ && !travels) return;
    ExtractedTensor row;
    row.base_tensor = base_name(match.base);
    row.task_tensor = full_name(tensor);
    row.tensor_class = match.tensor_class;
    row.bytes = row.stored_bytes = tensor.bytes.size();
    if (match.tensor_class == TensorClass::kTransposed && !task_.model) row.stored_bytes = 0;
    const auto merged = task_.changes.merged.find(index);
    if (merged != task_.changes.merged.end() && is_served_low(index)) {
      const StoredFactors& factors = merged->second.factors;
      row.stored_bytes = factors.a.size() + factors.b.size();
      row.residual_bytes = merged->second.residual.size();
      row.rank = static_cast<int64_t>(factors.rank);
      row.relative_error = merged->second.relative_error;
      row.max_abs_error = merged->second.max_abs_error;
    }
    if (match.tensor_class == TensorClass::kLowRank) {
      const DeltaReport& delta = task_.changes.low_rank.at(index);
      row.rank = delta.rank;
      row.energy = delta.energy;
      row.singular_values = delta.singular_values;
      row.noise_edge = delta.noise_edge;
    }
    const auto notes = task_.changes.notes.find(index);
    if (notes != task_.changes.notes.end()) row.notes = notes->second;
    if (row.rank > 0 && match.tensor_class == TensorClass::kReplaced)
      row.notes.push_back("full rank: travels whole");
    tensors_.push_back(std::move(row));
  }

  void add(const UnmergedPair& pair) {
    ExtractedTensor row;
    row.base_tensor = base_name(pair.weight);
    row.task_tensor = full_name(of_task(pair.tensor_a)) + " x " + full_name(of_task(pair.tensor_b));
    row.tensor_class = TensorClass::kLora;
    row.bytes = pair.a.bytes.size() + pair.b.bytes.size();
    row.stored_bytes = row.bytes;
    row.residual_bytes = pair.b_residual.size();
    row.rank = static_cast<int64_t>(pair.factors.rank);
    tensors_.push_back(std::move(row));
  }

  const Draft& draft_;
  const ExtractTask& task_;
  const ScannedModel& original_;
  uint64_t min_bytes_;
  std::vector<ExtractedTensor> tensors_;
};

// What sessions of `model` read that no other model does, and its file.
uint64_t own_bytes(const Draft& draft, const Manifest& manifest, const ModelRecord& model) {
  uint64_t bytes = model.size;
  for (const PlanBlob& blob : draft.plan.blobs) {
    if (blob.shared) continue;
    const auto uses = [&](const TensorRecord& tensor) {
      return manifest.blobs[tensor.extent.blob].file == blob.file;
    };
    if (std::any_of(model.tensors.begin(), model.tensors.end(), uses)) bytes += blob.size;
  }
  return bytes;
}

// All that sessions of the base read.
uint64_t base_bytes(const Draft& draft, const Manifest& manifest) {
  uint64_t bytes = find_model(manifest, draft.inputs[0].name).size;
  std::set<uint32_t> contents;
  for (const PlanTensor& tensor : draft.planned[0].tensors) {
    if (!tensor.reason && contents.insert(tensor.content).second) bytes += tensor.size;
  }
  return bytes;
}

// What serves the task: an adapter, or a model.
std::optional<ContentHash> served_by(const Manifest& manifest, const TaskRecord& task) {
  if (task.adapter) return manifest.blobs[*task.adapter].hash;
  if (!task.model.empty()) return find_model(manifest, task.model).hash;
  return std::nullopt;
}

std::string same_as(const Manifest& manifest, size_t t) {
  const std::optional<ContentHash> served = served_by(manifest, manifest.tasks[t]);
  if (!served) return manifest.tasks[t].base;
  for (size_t i = 0; i < t; ++i) {
    if (served_by(manifest, manifest.tasks[i]) == served) return manifest.tasks[i].name;
  }
  return "";
}

}  // namespace

ExtractReport make_report(const Draft& draft, const std::vector<ExtractTask>& tasks,
                          const BundleFiles& files, uint64_t bytes_in, uint64_t min_bytes) {
  ExtractReport report;
  const Manifest& manifest = files.manifest;
  report.base = draft.inputs[0].name;
  report.base_bytes = base_bytes(draft, manifest);
  report.bytes_in = bytes_in;
  report.bytes_out = files.bytes;
  const size_t before = manifest.tasks.size() - tasks.size();
  for (size_t i = 0; i < tasks.size(); ++i) {
    const TaskRecord& record = manifest.tasks[before + i];
    ExtractedTask& out = report.tasks.emplace_back();
    out.name = tasks[i].input.name;
    out.source = tasks[i].input.path.filename().string();
    out.same_as = same_as(manifest, before + i);
    out.reasons = tasks[i].changes.reasons;
    if (!tasks[i].model) out.renamed_outputs = tasks[i].changes.renamed_outputs;
    out.bytes_in = tasks[i].bytes_in;
    out.adapter_bytes = tasks[i].adapter.size();
    if (record.adapter) out.adapter = manifest.blobs[*record.adapter].file;
    if (tasks[i].model) {
      const ModelRecord& model = find_model(manifest, record.model);
      out.model = model.file;
      out.model_bytes = own_bytes(draft, manifest, model);
    }
    for (const auto& piece : draft.tasks[i].residual) out.residual_bytes += piece.size();
    report.residual_bytes += out.residual_bytes;
    out.tensors =
        TaskReport(draft, tasks[i], original_of(draft, draft.tasks[i]), min_bytes).tensors();
  }
  return report;
}

}  // namespace wshare
