#include "diff_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <ostream>

#include "format/scope.h"
#include "rows.h"
#include "util/text.h"
#include "util/visible.h"

namespace wshare {
namespace {

constexpr size_t kColumns = 80;
constexpr size_t kMostOperators = 12;

std::string name_of(const DiffSide& side) { return full_name(side.scope, side.name); }

// Names are long and differ at their ends, so the front is cut. Safe to print.
std::string cut_front(const std::string& name, size_t width) {
  if (name.size() <= width) return visible(name);
  size_t begin = name.size() - (width - 3);
  while (begin < name.size() && (name[begin] & 0xc0) == 0x80) ++begin;  // inside a UTF-8 character
  return "..." + visible(name.substr(begin));
}

// "in A -> in B", on two lines where one of `width` columns is too short; one name where they are
// equal.
std::vector<std::string> name_lines(const DiffTensor& tensor, size_t width) {
  const std::string a = tensor.a ? name_of(*tensor.a) : "";
  const std::string b = tensor.b ? name_of(*tensor.b) : "";
  if (a.empty() || b.empty() || a == b) return {cut_front(a.empty() ? b : a, width)};
  const std::string arrow = "-> ";
  if (a.size() + 1 + arrow.size() + b.size() <= width) {
    return {visible(a) + " " + arrow + visible(b)};
  }
  return {cut_front(a, width), arrow + cut_front(b, width - arrow.size())};
}

std::string rank_of(const DiffTensor& tensor) {
  return tensor.delta && tensor.delta->rank ? std::to_string(*tensor.delta->rank) : "-";
}

std::string error_of(const DiffTensor& tensor) {
  if (tensor.form && tensor.form->relative_error > 0)
    return fmt::format("{:.1e}", tensor.form->relative_error);
  return tensor.delta && tensor.delta->rank ? fmt::format("{:.1e}", tensor.delta->relative_error)
                                            : "-";
}

// `tensors` of the `listed` ones that could be shown.
void print_tensors(std::ostream& out, const std::vector<const DiffTensor*>& tensors,
                   size_t listed) {
  std::vector<std::vector<std::string>> rows = {{"bytes", "rank", "error", "class", "tensor"}};
  constexpr size_t kNameColumns = kColumns - 41;  // beside the other columns at their widest
  for (const DiffTensor* tensor : tensors) {
    const std::vector<std::string> names = name_lines(*tensor, kNameColumns);
    rows.push_back({format_bytes(bytes_of(*tensor)), rank_of(*tensor), error_of(*tensor),
                    text_of(tensor->tensor_class), names[0]});
    if (names.size() > 1) rows.push_back({"", "", "", "", names[1]});
    for (const std::string& note : tensor->notes) {
      for (const std::string& line : wrapped(note, kNameColumns - 2)) {
        rows.push_back({"", "", "", "", "  " + line});
      }
    }
  }
  print_table(out, rows, 3);
  print_more(out, listed, tensors.size());
  out << '\n';
}

void print_lora(std::ostream& out, const std::vector<DiffLora>& lora) {
  if (lora.empty()) return;
  std::vector<std::vector<std::string>> rows = {{"rank", "scaling", "in", "weight", "A", "B"}};
  for (const DiffLora& pair : lora) {
    const std::string& weight = pair.in_b ? pair.weight_b : pair.weight_a;
    rows.push_back({std::to_string(pair.rank), fmt::format("{:.4g}", pair.scaling),
                    pair.in_b ? "B" : "A", cut_front(weight, 18), cut_front(pair.factor_a, 18),
                    cut_front(pair.factor_b, 18)});
  }
  print_table(out, rows, 2);
  out << '\n';
}

void print_classes(std::ostream& out, const DiffReport& report) {
  std::vector<std::vector<std::string>> rows = {{"tensors", "bytes", "class"}};
  for (int c = 0; c <= static_cast<int>(TensorClass::kRemoved); ++c) {
    uint64_t count = 0;
    uint64_t bytes = 0;
    for (const DiffTensor& tensor : report.tensors) {
      if (static_cast<int>(tensor.tensor_class) != c) continue;
      ++count;
      bytes += bytes_of(tensor);
    }
    if (count != 0) {
      rows.push_back(
          {std::to_string(count), format_bytes(bytes), text_of(static_cast<TensorClass>(c))});
    }
  }
  if (rows.size() > 1) print_table(out, rows, 2);
}

void print_values(std::ostream& out, const char* what, const std::vector<DiffValue>& values) {
  for (const DiffValue& value : values) {
    const std::string a = value.a.empty() ? "none" : cut_front(value.a, 60);
    const std::string b = value.b.empty() ? "none" : cut_front(value.b, 60);
    const std::string line = fmt::format("{} '{}': {}", what, cut_front(value.name, 40), a);
    const bool fits = line.size() + 4 + b.size() <= kColumns;
    out << (fits ? line : fmt::format("{} '{}':\n    {}", what, cut_front(value.name, 40), a))
        << (fits ? " -> " : "\n -> ") << b << '\n';
  }
}

// The operators with most changed nodes.
std::vector<std::pair<std::string, DiffOperator>> most_changed(const DiffGraph& graph) {
  std::vector<std::pair<std::string, DiffOperator>> operators(graph.operators.begin(),
                                                              graph.operators.end());
  const auto nodes = [](const auto& each) {
    return each.second.added + each.second.removed + each.second.attributes + each.second.rewired;
  };
  std::stable_sort(operators.begin(), operators.end(),
                   [&](const auto& a, const auto& b) { return nodes(a) > nodes(b); });
  operators.resize(std::min(operators.size(), kMostOperators));
  return operators;
}

void print_graph(std::ostream& out, const DiffGraph& graph) {
  if (!graph.operators.empty()) {
    std::vector<std::vector<std::string>> rows = {
        {"added", "removed", "attributes", "rewired", "operator"}};
    for (const auto& [op, change] : most_changed(graph)) {
      rows.push_back({std::to_string(change.added), std::to_string(change.removed),
                      std::to_string(change.attributes), std::to_string(change.rewired),
                      cut_front(op, 40)});
    }
    print_table(out, rows, 4);
    if (const size_t shown = rows.size() - 1; shown < graph.operators.size()) {
      out << fmt::format("... and {}; --json lists all\n",
                         count_of(graph.operators.size() - shown, "more operator"));
    }
  }
  print_values(out, "input", graph.inputs);
  print_values(out, "output", graph.outputs);
  print_values(out, "opset", graph.opsets);
  print_values(out, "metadata", graph.metadata);
}

// "B is A quantised to int8: 38 of 38 weights, relative error 0.0082 (41.7 dB)"
void print_forms(std::ostream& out, const std::vector<DiffForms>& all) {
  for (const DiffForms& forms : all) {
    const DiffForm& sum = forms.sum;
    out << fmt::format("{} is {} {} to {}: {} of {}", sum.of_b ? "A" : "B", sum.of_b ? "B" : "A",
                       text_of(forms.tensor_class), sum.to, forms.weights,
                       count_of(forms.weights_total, "weight"));
    if (sum.snr_db)
      out << fmt::format(",\n  relative error {:.2g} ({:.1f} dB)", sum.relative_error, *sum.snr_db);
    if (sum.off > 0) out << fmt::format(", {} of {} elements off", sum.off, sum.elements);
    out << '\n';
  }
}

}  // namespace

std::vector<const DiffTensor*> shown_tensors(const DiffReport& report, const DiffView& view) {
  std::vector<const DiffTensor*> shown;
  for (const DiffTensor& tensor : report.tensors) {
    if (!view.all_tensors && tensor.tensor_class == TensorClass::kSame) continue;
    if (view.top != 0 && shown.size() == view.top) break;
    shown.push_back(&tensor);
  }
  return shown;
}

uint64_t bytes_of(const DiffTensor& tensor) { return tensor.b ? tensor.b->bytes : tensor.a->bytes; }

void print_diff(std::ostream& out, const DiffReport& report, const DiffView& view) {
  const std::vector<const DiffTensor*> tensors = shown_tensors(report, view);
  DiffView without_top = view;
  without_top.top = 0;
  if (!tensors.empty()) print_tensors(out, tensors, shown_tensors(report, without_top).size());
  print_lora(out, report.lora);
  print_classes(out, report);
  if (!report.tensors.empty() && !report.graph.operators.empty()) out << '\n';  // between tables
  print_graph(out, report.graph);
  print_forms(out, report.forms);
  const auto same = std::count_if(
      report.tensors.begin(), report.tensors.end(),
      [](const DiffTensor& tensor) { return tensor.tensor_class == TensorClass::kSame; });
  if (report.equal) {
    out << fmt::format("equal: {}, {}\n", count_of(report.tensors.size(), "tensor"),
                       count_of(report.nodes_a, "node"));
  } else if (report.tensors.empty()) {
    out << "different: neither model has tensors\n";
  } else {
    out << fmt::format("different: {} of {} {} the same\n", same,
                       count_of(report.tensors.size(), "tensor"), same == 1 ? "is" : "are");
  }
}

}  // namespace wshare
