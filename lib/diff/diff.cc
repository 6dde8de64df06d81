#include "wshare/diff.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>
#include <unordered_map>

#include "compare/compare.h"
#include "diff/forms.h"
#include "diff/graph_counts.h"
#include "format/dtype.h"
#include "util/as_text.h"
#include "util/system_errors.h"

namespace wshare {
namespace {

DiffSide side_of(const TensorRef& tensor) {
  const std::optional<Dtype> dtype = find_dtype(tensor.dtype);
  return {tensor.scope, tensor.name,
          dtype ? std::string(dtype->name) : "type " + std::to_string(tensor.dtype), tensor.shape,
          tensor.bytes.size()};
}

DiffDelta delta_of(const DeltaReport& report) {
  DiffDelta delta;
  delta.relative_change = report.relative_change;
  delta.rows = report.rows;
  delta.cols = report.cols;
  delta.changed_rows = report.changed_rows;
  delta.changed_cols = report.changed_cols;
  if (report.kind == DeltaKind::kLowRank) {
    delta.rank = report.rank;
    delta.relative_error = report.relative_error;
    delta.max_abs_error = report.max_abs_error;
    delta.energy = report.energy;
    delta.singular_values = report.singular_values;
    delta.noise_edge = report.noise_edge;
  }
  return delta;
}

std::string text_of(const std::vector<int64_t>& shape) {
  std::string text;
  for (const int64_t dim : shape) text += (text.empty() ? "" : ",") + std::to_string(dim);
  return "[" + text + "]";
}

// "12 of 2048 rows changed", with the blocks that they are if these are few.
std::string changed_note(const char* what, uint64_t changed, uint64_t count,
                         const std::vector<IndexRun>& runs) {
  std::string note =
      std::to_string(changed) + " of " + std::to_string(count) + " " + what + " changed";
  for (const IndexRun& run : runs) {
    note += &run == runs.data() ? " (" : ", ";
    note += std::to_string(run.first);
    if (run.last != run.first) note += " to " + std::to_string(run.last);
  }
  return runs.empty() ? note : note + ")";
}

std::string changed_note(const DeltaReport& report) {
  if (report.changed_rows < report.rows) {
    return changed_note("rows", report.changed_rows, report.rows, report.row_runs);
  }
  if (report.changed_cols < report.cols) {
    return changed_note("columns", report.changed_cols, report.cols, report.col_runs);
  }
  return "";
}

// What a report of a difference says beside its class.
std::vector<std::string> delta_notes(const DeltaReport& report) {
  switch (report.kind) {
    case DeltaKind::kNotFinite:
      return {"holds NaN or infinity"};
    case DeltaKind::kRoundingOnly:
      return {"differs by rounding only"};
    case DeltaKind::kLowRank:
      if (std::abs(report.rank - report.rank_by_rounding) > 3) {
        return {"by roundings alone rank " + std::to_string(report.rank_by_rounding),
                changed_note(report)};
      }
      return {changed_note(report)};
    case DeltaKind::kFewRows:
      return {"few rows: " + changed_note(report)};
    case DeltaKind::kFullRank:
      break;
  }
  return {changed_note(report)};
}

std::vector<std::string> form_notes(const DiffTensor& tensor) {
  const DiffForm& form = *tensor.form;
  std::vector<std::string> notes = {form.of_b ? form.to + " <- " + tensor.b->dtype
                                              : tensor.a->dtype + " -> " + form.to};
  if (form.off > 0)
    notes.push_back(
        fmt::format("{} of {} elements are not what rounding gives", form.off, form.elements));
  return notes;
}

std::vector<std::string> notes_of(const DiffTensor& tensor, const TensorMatch& match) {
  std::vector<std::string> notes;
  if (match.ambiguous) notes.push_back("ambiguous: several fit equally well");
  if (tensor.a && tensor.b) {
    if (tensor.form) {
      notes = form_notes(tensor);
    } else if (tensor.a->dtype != tensor.b->dtype) {
      notes.push_back(tensor.a->dtype + " -> " + tensor.b->dtype);
    }
    const bool packed = tensor.form && tensor.tensor_class == TensorClass::kQuantised;
    if (tensor.a->shape != tensor.b->shape && match.tensor_class != TensorClass::kTransposed &&
        !packed) {
      notes.push_back(text_of(tensor.a->shape) + " -> " + text_of(tensor.b->shape));
    }
    if (match.transposed && (match.delta || tensor.form)) notes.push_back("transposed");
  }
  if (match.cast == CastResult::kClamped) notes.push_back("clamped to the range of float16");
  if (match.quantized) {
    notes.push_back(match.quantized->max_abs ? fmt::format("quantized: changed by at most {:.3g}",
                                                           *match.quantized->max_abs)
                                             : "quantized");
  }
  if (match.delta) {
    const std::vector<std::string> of_delta = delta_notes(*match.delta);
    notes.insert(notes.end(), of_delta.begin(), of_delta.end());
  }
  std::erase(notes, "");
  return notes;
}

// What stands beside the layers that read the tensors of a model, by tensor.
using Branches = std::multimap<int32_t, const AdapterBranch*>;

Branches by_tensor(const std::vector<AdapterBranch>& branches, const ComputeGraph& graph) {
  Branches result;
  for (const AdapterBranch& branch : branches)
    result.emplace(graph.values[static_cast<size_t>(branch.weight)].tensor, &branch);
  return result;
}

void add_branches(const Branches& branches, int32_t tensor, const char* model,
                  std::vector<std::string>& notes) {
  const auto [begin, end] = branches.equal_range(tensor);
  for (auto at = begin; at != end; ++at)
    notes.push_back(text_of(at->second->kind) + std::string(" in ") + model);
}

// How far the numbers of b are from those of a; none where there are no such numbers.
std::optional<double> change_between(const TensorMatch& match, const DiffTensor& tensor,
                                     const ScannedModel& a, const ScannedModel& b) {
  if (tensor.form) return tensor.form->relative_error;
  if (match.delta) return match.delta->relative_change;
  if (match.tensor_class != TensorClass::kReplaced || match.transposed) return {};
  const TensorRef& of_a = a.tensors[static_cast<size_t>(match.a)];
  const TensorRef& of_b = b.tensors[static_cast<size_t>(match.b)];
  if (of_a.shape != of_b.shape || !float_format(of_a.dtype) || !float_format(of_b.dtype)) return {};
  const double change = cast_error(of_a, of_b, false).relative();
  return std::isfinite(change) ? std::optional(change) : std::nullopt;
}

DiffTensor tensor_of(const TensorMatch& match, const FoundForms& forms, const ScannedModel& a,
                     const ScannedModel& b) {
  DiffTensor tensor;
  tensor.tensor_class = match.tensor_class;
  if (match.a != kAbsent) tensor.a = side_of(a.tensors[static_cast<size_t>(match.a)]);
  if (match.b != kAbsent) tensor.b = side_of(b.tensors[static_cast<size_t>(match.b)]);
  if (match.delta) tensor.delta = delta_of(*match.delta);
  const auto form = forms.by_tensors.find({match.a, match.b});
  if (form != forms.by_tensors.end()) tensor.form = form->second;
  if (match.a != kAbsent && match.b != kAbsent)
    tensor.relative_change = change_between(match, tensor, a, b);
  tensor.notes = notes_of(tensor, match);
  return tensor;
}

const DiffSide& shown_side(const DiffTensor& tensor) { return tensor.a ? *tensor.a : *tensor.b; }

std::vector<DiffTensor> tensors_of(const ModelComparison& comparison, const FoundForms& forms,
                                   const ScannedModel& a, const ScannedModel& b) {
  std::vector<DiffTensor> tensors;
  const Branches in_a = by_tensor(comparison.branches_a, comparison.graph_a);
  const Branches in_b = by_tensor(comparison.branches_b, comparison.graph_b);
  for (const TensorMatch& match : comparison.tensors) {
    DiffTensor& tensor = tensors.emplace_back(tensor_of(match, forms, a, b));
    add_branches(in_a, match.a, "A", tensor.notes);
    add_branches(in_b, match.b, "B", tensor.notes);
  }
  const auto bytes_of = [](const DiffTensor& tensor) {
    return tensor.b ? tensor.b->bytes : tensor.a->bytes;
  };
  std::stable_sort(tensors.begin(), tensors.end(), [&](const DiffTensor& x, const DiffTensor& y) {
    return std::make_tuple(bytes_of(y), shown_side(x).scope, shown_side(x).name) <
           std::make_tuple(bytes_of(x), shown_side(y).scope, shown_side(y).name);
  });
  return tensors;
}

// Finds in one model what belongs to the pairs of the other.
void add_lora(const ModelComparison& comparison, bool in_b, const ScannedModel& a,
              const ScannedModel& b, std::vector<DiffLora>& lora) {
  const ComputeGraph& graph = in_b ? comparison.graph_b : comparison.graph_a;
  const ScannedModel& model = in_b ? b : a;
  const auto tensor_number = [&](int32_t value) {
    return graph.values[static_cast<size_t>(value)].tensor;
  };
  const auto name_of = [&](int32_t value) {
    return model.tensors[static_cast<size_t>(tensor_number(value))].name;
  };
  std::unordered_map<int32_t, const TensorMatch*> match_of;  // of those in both, the first
  for (const TensorMatch& match : comparison.tensors) {
    if (match.a != kAbsent && match.b != kAbsent)
      match_of.emplace(in_b ? match.b : match.a, &match);
  }
  for (const LoraModule& module : in_b ? comparison.lora_b : comparison.lora_a) {
    DiffLora entry;
    entry.in_b = in_b;
    (in_b ? entry.weight_b : entry.weight_a) = name_of(module.weight);
    const auto match = match_of.find(tensor_number(module.weight));
    if (match != match_of.end()) {
      entry.weight_a = a.tensors[static_cast<size_t>(match->second->a)].name;
      entry.weight_b = b.tensors[static_cast<size_t>(match->second->b)].name;
    }
    entry.factor_a = name_of(module.a);
    entry.factor_b = name_of(module.b);
    entry.rank = module.rank;
    entry.scaling = module.scaling;
    lora.push_back(std::move(entry));
  }
}

bool is_equal(const DiffReport& report) {
  const bool same = std::all_of(
      report.tensors.begin(), report.tensors.end(),
      [](const DiffTensor& tensor) { return tensor.tensor_class == TensorClass::kSame; });
  const DiffGraph& graph = report.graph;
  return same && graph.operators.empty() && graph.inputs.empty() && graph.outputs.empty() &&
         graph.opsets.empty() && graph.metadata.empty();
}

void add_bytes(DiffReport& report) {
  for (const DiffTensor& tensor : report.tensors) {
    if (tensor.a) report.weight_bytes_a += tensor.a->bytes;
    if (!tensor.b) continue;
    const bool equal =
        tensor.tensor_class == TensorClass::kSame || tensor.tensor_class == TensorClass::kRenamed;
    report.equal_bytes += equal ? tensor.b->bytes : 0;
    report.weight_bytes += tensor.b->bytes;
  }
}

bool is_same_file(const ScannedModel& a, const ScannedModel& b) {
  return as_text(a.file.file().bytes()) == as_text(b.file.file().bytes());
}

}  // namespace

std::optional<double> decibels(double relative_change) {
  if (!(relative_change > 0) || !std::isfinite(relative_change)) return {};
  return -20 * std::log10(relative_change);
}

DiffReport diff(const std::filesystem::path& path_a, const std::filesystem::path& path_b,
                const DiffOptions& options) try {
  const ScannedModel a = scan_model(path_a);
  const ScannedModel b = scan_model(path_b);
  CompareOptions how;
  how.min_bytes = options.min_bytes;
  how.delta.max_rank = options.max_rank;
  how.delta.svd = options.svd;
  how.threads = options.threads;
  how.progress = options.progress;
  const ComparisonBase base(a, options.threads, options.progress);
  ModelComparison comparison = compare_models(base, b, how);
  FoundForms forms = find_forms(a, b, options.threads, comparison);
  DiffReport report;
  report.nodes_a = comparison.graph_a.nodes.size() + comparison.graph_a.passed.size();
  report.nodes_b = comparison.graph_b.nodes.size() + comparison.graph_b.passed.size();
  report.tensors = tensors_of(comparison, forms, a, b);
  report.forms = std::move(forms.sums);
  add_lora(comparison, false, a, b, report.lora);
  add_lora(comparison, true, a, b, report.lora);
  report.graph = count_graph_changes(a, b, comparison);
  report.equal = is_equal(report);
  report.same_file = report.equal && is_same_file(a, b);
  add_bytes(report);
  report.verdict = verdict_of(report);
  for (const ScannedModel* model : {&a, &b}) {
    model->file.file().check_unchanged();
    for (const ExternalFile& external : model->external) external.file.check_unchanged();
  }
  return report;
} catch (const std::system_error& error) {
  throw_as_error(error);
}

}  // namespace wshare
