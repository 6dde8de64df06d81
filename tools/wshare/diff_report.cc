#include "diff_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <ostream>

#include "util/text.h"

namespace wshare {
namespace {

using nlohmann::ordered_json;

constexpr size_t kColumns = 80;

// Tensors that the view shows: all or those that differ, the largest of them.
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

std::string printable(const std::string& name) {
  const std::string quoted = in_quotes(name);
  return quoted.substr(1, quoted.size() - 2);
}

std::string full_name(const DiffSide& side) {
  return side.scope.empty() ? side.name : side.scope + "/" + side.name;
}

// Names are long and differ at their ends, so the front is cut. Safe to print.
std::string cut_front(const std::string& name, size_t width) {
  if (name.size() <= width) return printable(name);
  size_t begin = name.size() - (width - 3);
  while (begin < name.size() && (name[begin] & 0xc0) == 0x80) ++begin;  // inside a UTF-8 character
  return "..." + printable(name.substr(begin));
}

// "in A -> in B", on two lines where one of `width` columns is too short; one name where they are
// equal.
std::vector<std::string> name_lines(const DiffTensor& tensor, size_t width) {
  const std::string a = tensor.a ? full_name(*tensor.a) : "";
  const std::string b = tensor.b ? full_name(*tensor.b) : "";
  if (a.empty() || b.empty() || a == b) return {cut_front(a.empty() ? b : a, width)};
  const std::string arrow = "-> ";
  if (a.size() + 1 + arrow.size() + b.size() <= width) {
    return {printable(a) + " " + arrow + printable(b)};
  }
  return {cut_front(a, width), arrow + cut_front(b, width - arrow.size())};
}

// Breaks a text of words into lines of up to `width` columns; a longer word gets a line of its own.
std::vector<std::string> wrapped(const std::string& text, size_t width) {
  std::vector<std::string> lines(1);
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(' ', begin), text.size());
    const std::string word = text.substr(begin, end - begin);
    if (!lines.back().empty() && lines.back().size() + 1 + word.size() > width) {
      lines.emplace_back();
    }
    lines.back() += (lines.back().empty() ? "" : " ") + word;
    begin = end + 1;
  }
  return lines;
}

std::string rank_of(const DiffTensor& tensor) {
  return tensor.delta && tensor.delta->rank ? std::to_string(*tensor.delta->rank) : "-";
}

std::string error_of(const DiffTensor& tensor) {
  return tensor.delta && tensor.delta->rank ? fmt::format("{:.1e}", tensor.delta->relative_error)
                                            : "-";
}

void print_tensors(std::ostream& out, const std::vector<const DiffTensor*>& tensors) {
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
  print_table(out, rows, 2);
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

void print_graph(std::ostream& out, const DiffGraph& graph) {
  if (!graph.operators.empty()) {
    std::vector<std::vector<std::string>> rows = {
        {"added", "removed", "attributes", "rewired", "operator"}};
    for (const auto& [op, change] : graph.operators) {
      rows.push_back({std::to_string(change.added), std::to_string(change.removed),
                      std::to_string(change.attributes), std::to_string(change.rewired),
                      cut_front(op, 40)});
    }
    out << '\n';
    print_table(out, rows, 4);
  }
  print_values(out, "input", graph.inputs);
  print_values(out, "output", graph.outputs);
  print_values(out, "opset", graph.opsets);
  print_values(out, "metadata", graph.metadata);
}

ordered_json side_json(const std::optional<DiffSide>& side) {
  if (!side) return nullptr;
  return {{"scope", side->scope},
          {"tensor", side->name},
          {"dtype", side->dtype},
          {"shape", side->shape},
          {"bytes", side->bytes}};
}

ordered_json tensor_json(const DiffTensor& tensor) {
  ordered_json json = {{"class", text_of(tensor.tensor_class)},
                       {"bytes", bytes_of(tensor)},
                       {"a", side_json(tensor.a)},
                       {"b", side_json(tensor.b)}};
  if (tensor.delta) {
    const DiffDelta& delta = *tensor.delta;
    json["relative_change"] = delta.relative_change;
    json["changed_rows"] = delta.changed_rows;
    json["changed_columns"] = delta.changed_cols;
    if (delta.rank) {
      json["rank"] = *delta.rank;
      json["relative_error"] = delta.relative_error;
      json["max_abs_error"] = delta.max_abs_error;
      json["energy"] = delta.energy;
      json["singular_values"] = delta.singular_values;
      json["noise_edge"] = delta.noise_edge;
    }
  }
  if (!tensor.notes.empty()) json["notes"] = tensor.notes;
  return json;
}

ordered_json values_json(const std::vector<DiffValue>& values) {
  ordered_json json = ordered_json::array();
  for (const DiffValue& value : values) {
    json.push_back({{"name", value.name}, {"a", value.a}, {"b", value.b}});
  }
  return json;
}

ordered_json graph_json(const DiffReport& report) {
  ordered_json json = {{"nodes_a", report.nodes_a}, {"nodes_b", report.nodes_b}};
  json["operators"] = ordered_json::array();
  for (const auto& [op, change] : report.graph.operators) {
    json["operators"].push_back({{"operator", op},
                                 {"added", change.added},
                                 {"removed", change.removed},
                                 {"attributes", change.attributes},
                                 {"rewired", change.rewired}});
  }
  json["inputs"] = values_json(report.graph.inputs);
  json["outputs"] = values_json(report.graph.outputs);
  json["opsets"] = values_json(report.graph.opsets);
  json["metadata"] = values_json(report.graph.metadata);
  return json;
}

ordered_json classes_json(const DiffReport& report) {
  ordered_json json = ordered_json::object();
  for (int c = 0; c <= static_cast<int>(TensorClass::kRemoved); ++c) {
    json[text_of(static_cast<TensorClass>(c))] = {{"tensors", 0}, {"bytes", 0}};
  }
  for (const DiffTensor& tensor : report.tensors) {
    ordered_json& entry = json[text_of(tensor.tensor_class)];
    entry["tensors"] = entry["tensors"].get<uint64_t>() + 1;
    entry["bytes"] = entry["bytes"].get<uint64_t>() + bytes_of(tensor);
  }
  return json;
}

}  // namespace

void print_diff(std::ostream& out, const DiffReport& report, const DiffView& view) {
  const std::vector<const DiffTensor*> tensors = shown_tensors(report, view);
  if (!tensors.empty()) print_tensors(out, tensors);
  print_lora(out, report.lora);
  print_classes(out, report);
  print_graph(out, report.graph);
  const auto same = std::count_if(
      report.tensors.begin(), report.tensors.end(),
      [](const DiffTensor& tensor) { return tensor.tensor_class == TensorClass::kSame; });
  if (report.equal) {
    out << fmt::format("equal: {} tensors, {} nodes\n", report.tensors.size(), report.nodes_a);
  } else {
    out << fmt::format("different: {} of {} tensors are the same\n", same, report.tensors.size());
  }
}

ordered_json diff_json(const DiffReport& report, const DiffView& view) {
  ordered_json json;
  json["schema"] = "wshare.diff/1";
  json["equal"] = report.equal;
  json["a"] = view.a;
  json["b"] = view.b;
  json["classes"] = classes_json(report);
  json["tensors"] = ordered_json::array();
  for (const DiffTensor* tensor : shown_tensors(report, view)) {
    json["tensors"].push_back(tensor_json(*tensor));
  }
  json["lora"] = ordered_json::array();
  for (const DiffLora& pair : report.lora) {
    json["lora"].push_back({{"in", pair.in_b ? "b" : "a"},
                            {"weight_a", pair.weight_a},
                            {"weight_b", pair.weight_b},
                            {"factor_a", pair.factor_a},
                            {"factor_b", pair.factor_b},
                            {"rank", pair.rank},
                            {"scaling", pair.scaling}});
  }
  json["graph"] = graph_json(report);
  return json;
}

}  // namespace wshare
