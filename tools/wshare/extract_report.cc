#include "extract_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <ostream>

#include "cli.h"
#include "rows.h"
#include "util/text.h"
#include "util/visible.h"

namespace wshare {
namespace {

using nlohmann::ordered_json;

constexpr size_t kLargest = 12;      // tensors shown of each task
constexpr size_t kNoteColumns = 24;  // beside the other columns at their widest

ordered_json tensor_json(const ExtractedTensor& tensor) {
  ordered_json json{
      {"base_tensor", tensor.base_tensor},     {"task_tensor", tensor.task_tensor},
      {"class", text_of(tensor.tensor_class)}, {"bytes_in", tensor.bytes},
      {"bytes", tensor.stored_bytes},          {"residual_bytes", tensor.residual_bytes}};
  if (tensor.rank > 0) {
    json["rank"] = tensor.rank;
    json["relative_error"] = tensor.relative_error;
    json["max_abs_error"] = tensor.max_abs_error;
  }
  if (!tensor.singular_values.empty()) {
    json["energy"] = tensor.energy;
    json["singular_values"] = tensor.singular_values;
    json["noise_edge"] = tensor.noise_edge;
  }
  json["notes"] = tensor.notes;
  return json;
}

ordered_json task_json(const ExtractedTask& task) {
  ordered_json json{{"name", task.name},
                    {"source", task.source},
                    {"adapter", task.adapter.empty() ? ordered_json() : ordered_json(task.adapter)},
                    {"model", task.model.empty() ? ordered_json() : ordered_json(task.model)},
                    {"same_as", task.same_as.empty() ? ordered_json() : ordered_json(task.same_as)},
                    {"peft", task.peft.empty() ? ordered_json() : ordered_json(task.peft)},
                    {"reasons", task.reasons},
                    {"renamed_outputs", task.renamed_outputs},
                    {"bytes_in", task.bytes_in},
                    {"adapter_bytes", task.adapter_bytes},
                    {"model_bytes", task.model_bytes},
                    {"residual_bytes", task.residual_bytes}};
  json["tensors"] = ordered_json::array();
  for (const ExtractedTensor& tensor : task.tensors) json["tensors"].push_back(tensor_json(tensor));
  return json;
}

// Of an unmerged pair the weight that it is for; --json has its factors.
std::string name_of(const ExtractedTensor& tensor) {
  if (tensor.base_tensor.empty() || tensor.base_tensor == tensor.task_tensor)
    return tensor.task_tensor;
  if (tensor.tensor_class == TensorClass::kLora) return tensor.base_tensor;
  return tensor.task_tensor + " of " + tensor.base_tensor;
}

// Of what the adapter holds factors that do not give just the task's weight.
bool has_error(const ExtractedTensor& tensor) {
  return tensor.tensor_class == TensorClass::kLowRank ||
         (tensor.tensor_class == TensorClass::kReplaced && tensor.rank > 0);
}

void print_tensors(std::ostream& out, const ExtractedTask& task) {
  const bool any_merged = std::any_of(task.tensors.begin(), task.tensors.end(), has_error);
  Rows rows = {{"before", "after", "rank"}};
  if (any_merged) rows[0].insert(rows[0].end(), {"energy", "error"});
  rows[0].insert(rows[0].end(), {"class", "tensor"});
  const size_t columns = rows[0].size();
  size_t shown = 0;
  for (const ExtractedTensor& tensor : task.tensors) {
    if (shown++ == kLargest) break;
    const bool low = tensor.rank > 0;
    std::vector<std::string>& row = rows.emplace_back(
        Rows::value_type{format_bytes(tensor.bytes), format_bytes(tensor.stored_bytes),
                         low ? std::to_string(tensor.rank) : "-"});
    if (any_merged) {
      row.push_back(tensor.energy > 0 ? fmt::format("{:.4f}", tensor.energy) : "-");
      row.push_back(has_error(tensor) ? fmt::format("{:.1e}", tensor.relative_error) : "-");
    }
    row.push_back(text_of(tensor.tensor_class));
    row.push_back(name_of(tensor));
    for (const std::string& note : tensor.notes) {
      for (const std::string& line : wrapped(note, kNoteColumns)) {
        rows.emplace_back(columns).back() = "  " + line;
      }
    }
  }
  print_rows(out, rows, columns - 2);
  if (task.tensors.size() > kLargest) {
    out << fmt::format("... and {} more; --json lists all\n", task.tensors.size() - kLargest);
  }
}

// "32 low_rank, rank 8 to 16; 3 replaced"
std::string summary_of(const ExtractedTask& task) {
  struct Group {
    size_t count = 0;
    int64_t least = INT64_MAX, most = 0;
  };
  std::map<std::string, Group> groups;
  for (const ExtractedTensor& tensor : task.tensors) {
    Group& group = groups[text_of(tensor.tensor_class)];
    ++group.count;
    if (tensor.tensor_class == TensorClass::kReplaced) continue;
    group.least = std::min(group.least, tensor.rank);
    group.most = std::max(group.most, tensor.rank);
  }
  std::string text;
  for (const auto& [name, group] : groups) {
    text += fmt::format("{}{} {}", text.empty() ? "" : "; ", group.count, name);
    if (group.most == 0) continue;
    text += group.least == group.most ? fmt::format(", rank {}", group.most)
                                      : fmt::format(", rank {} to {}", group.least, group.most);
  }
  if (text.empty()) text = task.reasons.empty() ? "nothing changed" : "no weight changed";
  if (!task.same_as.empty()) text += fmt::format("; the same as {}", in_quotes(task.same_as));
  return text;
}

bool has_no_lora(const ExtractedTask& task) {
  const auto is_low = [](const ExtractedTensor& tensor) { return tensor.rank > 0; };
  return !task.model.empty() && std::none_of(task.tensors.begin(), task.tensors.end(), is_low);
}

}  // namespace

ordered_json to_json(const std::vector<ExtractedTask>& tasks) {
  ordered_json json = ordered_json::array();
  for (const ExtractedTask& task : tasks) json.push_back(task_json(task));
  return json;
}

ordered_json to_json(const ExtractReport& report, const std::string& bundle, double seconds) {
  ordered_json json{{"schema", "wshare.extract-lora/1"}, {"bundle", bundle}, {"base", report.base}};
  json["tasks"] = to_json(report.tasks);
  json["base_bytes"] = report.base_bytes;
  json["base_note"] = report.base_note.empty() ? ordered_json() : ordered_json(report.base_note);
  json["bytes_in"] = report.bytes_in;
  json["bytes_out"] = report.bytes_out;
  json["residual_bytes"] = report.residual_bytes;
  json["seconds"] = seconds;
  return json;
}

void print_tasks(std::ostream& out, const std::vector<ExtractedTask>& tasks) {
  for (const ExtractedTask& task : tasks) {
    constexpr size_t kName = 40;
    print_words(out, in_quotes(fit(out, task.name, kName)) + ": " + summary_of(task));
    for (const std::string& reason : task.reasons)
      print_words(out, "has a model of its own: " + reason, 2);
    for (const auto& [of_task, of_base] : task.renamed_outputs) {
      print_words(out, "its output " + in_quotes(of_task) + " is the base's " + in_quotes(of_base),
                  2);
    }
    if (!task.no_peft.empty()) print_words(out, "has no adapter of PEFT: " + task.no_peft, 2);
    if (!task.tensors.empty()) print_tensors(out, task);
    out << '\n';
  }
  Rows rows = {{"before", "adapter", "own model", "residual", "task"}};
  for (const ExtractedTask& task : tasks) {
    const auto size = [](uint64_t bytes) { return bytes == 0 ? "-" : format_bytes(bytes); };
    rows.push_back({format_bytes(task.bytes_in), size(task.adapter_bytes), size(task.model_bytes),
                    size(task.residual_bytes), task.name});
  }
  print_rows(out, std::move(rows), 4);
}

void print_report(std::ostream& out, const ExtractReport& report, bool dry_run) {
  print_tasks(out, report.tasks);
  if (std::all_of(report.tasks.begin(), report.tasks.end(), has_no_lora))
    out << "no LoRA was found: each task has a model of its own\n";
  if (!report.base_note.empty()) {
    out << fmt::format("the base {}: {}\n", in_quotes(report.base), visible(report.base_note));
  }
  const bool smaller = report.bytes_out <= report.bytes_in;
  out << fmt::format("{}{} -> {}, {} of it residuals; {} {}\n", dry_run ? "would be " : "",
                     format_bytes(report.bytes_in), format_bytes(report.bytes_out),
                     format_bytes(report.residual_bytes),
                     format_bytes(smaller ? report.bytes_in - report.bytes_out
                                          : report.bytes_out - report.bytes_in),
                     smaller ? "saved" : "added");
}

}  // namespace wshare
