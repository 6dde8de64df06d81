#include "diff_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <ostream>
#include <sstream>

#include "format/scope.h"
#include "rows.h"
#include "util/text.h"
#include "util/visible.h"

namespace wshare {
namespace {

constexpr size_t kMostOperators = 12;
constexpr size_t kMostTensors = 25;
constexpr uint64_t kSmall = 1024;      // bytes; such tensors share a row
constexpr size_t kLongestValue = 120;  // of metadata; of a longer one its length is said

std::string name_of(const DiffSide& side) { return full_name(side.scope, side.name); }

std::string class_of(const DiffTensor& tensor) {
  std::string text = text_of(tensor.tensor_class);
  if (tensor.delta && tensor.delta->rank) text += " " + std::to_string(*tensor.delta->rank);
  return text;
}

// "0.012 (38 dB)"
std::string change_of(const DiffTensor& tensor) {
  if (!tensor.relative_change) return "-";
  const std::optional<double> db = decibels(*tensor.relative_change);
  return fmt::format("{:.2g}", *tensor.relative_change) +
         (db ? fmt::format(" ({:.0f} dB)", *db) : "");
}

// The names of a tensor, one where they are equal.
std::vector<std::string> names_of(const DiffTensor& tensor) {
  std::vector<std::string> names;
  if (tensor.a) names.push_back(name_of(*tensor.a));
  if (tensor.b && (names.empty() || names[0] != name_of(*tensor.b)))
    names.push_back(name_of(*tensor.b));
  return names;
}

// What is said of one tensor: large ones each by itself.
struct Listed {
  const DiffTensor* tensor = nullptr;
  uint64_t count = 1, bytes = 0;  // of all that share the row
};

// True for a tensor that gets no row of its own where `fold`: it is small, or only its name is new.
bool is_folded(const DiffTensor& tensor) {
  return bytes_of(tensor) < kSmall || tensor.tensor_class == TensorClass::kRenamed;
}

// Rows of `tensors`, the largest first, then of each class one for those that share it.
std::vector<Listed> listed(const std::vector<const DiffTensor*>& tensors, bool fold) {
  std::map<TensorClass, Listed> small;
  std::vector<Listed> rows;
  for (const DiffTensor* tensor : tensors) {
    if (!fold || !is_folded(*tensor)) {
      rows.push_back({tensor, 1, bytes_of(*tensor)});
      continue;
    }
    Listed& row = small.try_emplace(tensor->tensor_class, Listed{tensor, 0, 0}).first->second;
    ++row.count;
    row.bytes += bytes_of(*tensor);
  }
  for (const auto& [kind, row] : small) rows.push_back(row);
  return rows;
}

// Adds the rows of one tensor; its names and notes go on lines of their own where one of `width`
// columns is too short (0: it never is).
void add_rows(const DiffTensor& tensor, std::vector<std::string> names, size_t width, Rows& rows) {
  std::string notes;
  for (const std::string& note : tensor.notes) notes += (notes.empty() ? "" : "; ") + note;
  std::vector<std::string> lines = {names[0]};
  if (names.size() > 1) {
    if (width == 0 || names[0].size() + 4 + names[1].size() <= width)
      lines[0] += " -> " + names[1];
    else
      lines.push_back("-> " + names[1]);
  }
  if (!notes.empty() && (width == 0 || lines.back().size() + notes.size() + 3 <= width))
    lines.back() += " (" + notes + ")";
  else if (!notes.empty())
    for (const std::string& line : wrapped(notes, width - 2)) lines.push_back("  " + line);
  rows.push_back({format_bytes(bytes_of(tensor)), change_of(tensor), class_of(tensor), lines[0]});
  for (size_t i = 1; i < lines.size(); ++i) rows.push_back({"", "", "", lines[i]});
}

// Columns for names beside the others, of a line of `columns`; 0: any number.
size_t width_of_names(const std::vector<Listed>& rows, size_t columns) {
  constexpr size_t kLeast = 24, kBytes = 11;
  if (columns == 0) return 0;
  size_t change = 6, kind = 5;
  for (const Listed& row : rows) {
    change = std::max(change, change_of(*row.tensor).size());
    kind = std::max(kind, class_of(*row.tensor).size());
  }
  const size_t beside = kBytes + change + 2 + kind + 2;
  return std::max(columns, beside + kLeast) - beside;
}

void print_tensors(std::ostream& out, const DiffReport& report, const DiffView& view) {
  DiffView all = view;
  all.top = 0;
  std::vector<Listed> shown = listed(shown_tensors(report, all), !view.all_tensors);
  if (shown.empty()) return;
  const size_t count = shown.size();
  const size_t most = view.top != 0 ? view.top : view.all_tensors ? count : kMostTensors;
  shown.resize(std::min(count, most));
  const size_t width = width_of_names(shown, columns_of(out));
  std::vector<std::string> names;
  for (const Listed& row : shown) {
    for (std::string& name : names_of(*row.tensor)) names.push_back(std::move(name));
  }
  if (width > 0) names = shortened(names, width - 3);
  Rows rows = {{"bytes", "change", "class", "tensor"}};
  size_t next = 0;
  for (const Listed& row : shown) {
    const size_t own = names_of(*row.tensor).size();
    const auto begin = names.begin() + static_cast<std::ptrdiff_t>(next);
    next += own;
    if (row.count == 1) {
      add_rows(*row.tensor, {begin, begin + static_cast<std::ptrdiff_t>(own)}, width, rows);
    } else {
      const bool small = row.tensor->tensor_class != TensorClass::kRenamed;
      rows.push_back({format_bytes(row.bytes), "-", text_of(row.tensor->tensor_class),
                      std::to_string(row.count) + (small ? " tensors under 1 KiB" : " tensors") +
                          " (--tensors)"});
    }
  }
  out << '\n';
  print_table(out, rows, 2);
  if (count > shown.size())
    out << fmt::format("... and {} more (--top, --tensors)\n", count - shown.size());
}

void print_lora(std::ostream& out, const std::vector<DiffLora>& lora, const DiffView& view) {
  if (lora.empty()) return;
  Rows rows = {{"rank", "scaling", "in", "factor A", "factor B", "weight"}};
  for (const DiffLora& pair : lora) {
    rows.push_back({std::to_string(pair.rank), fmt::format("{:.4g}", pair.scaling),
                    pair.in_b ? view.name_b : view.name_a, pair.factor_a, pair.factor_b,
                    pair.in_b ? pair.weight_b : pair.weight_a});
  }
  shorten_column(out, rows, 3, 25);
  shorten_column(out, rows, 4, 25);
  out << '\n';
  print_rows(out, rows, 2);
}

void print_classes(std::ostream& out, const DiffReport& report) {
  Rows rows = {{"tensors", "bytes", "class"}};
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
  if (rows.size() < 3) return;  // the first line says it
  out << '\n';
  print_table(out, rows, 2);
}

// A value as both models have it; of long ones only where they begin to differ.
std::pair<std::string, std::string> texts_of(const DiffValue& value) {
  if (std::max(value.a.size(), value.b.size()) <= kLongestValue) {
    return {value.a.empty() ? "none" : visible(value.a),
            value.b.empty() ? "none" : visible(value.b)};
  }
  const auto length = [](const std::string& text) {
    return text.empty() ? "none" : std::to_string(text.size()) + " bytes";
  };
  const auto [at_a, at_b] = std::ranges::mismatch(value.a, value.b);
  std::string b = length(value.b);
  if (!value.a.empty() && !value.b.empty())
    b += fmt::format(", alike up to byte {}", at_a - value.a.begin());
  return {length(value.a), b};
}

void print_values(std::ostream& out, const char* what, const std::vector<DiffValue>& values) {
  for (const DiffValue& value : values) {
    auto [a, b] = texts_of(value);
    std::string name = visible(value.name);
    if (columns_of(out) > 0) {
      name = fit(name, 40);
      const size_t taken = std::string(what).size() + name.size() + 9;
      const size_t each = (std::max(columns_of(out), taken + 48) - taken) / 2;
      const std::vector<std::string> cut = shortened({a, b}, each);
      a = cut[0];
      b = cut[1];
    }
    out << fmt::format("{} '{}': {} -> {}\n", what, name, a, b);
  }
}

// "conv1, conv7, ...": where nodes of one operator changed; on a terminal the first, which has
// room.
std::string places_of(std::ostream& out, const DiffGraph& graph, const std::string& op,
                      const DiffOperator& change) {
  const auto found = graph.places.find(op);
  if (found == graph.places.end()) return "";
  std::vector<std::string> names = found->second;
  if (columns_of(out) > 0) names.resize(1);
  const uint64_t most = change.added + change.removed + std::max(change.attributes, change.rewired);
  return fmt::format("{}{}", fmt::join(names, ", "), names.size() < most ? ", ..." : "");
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
  const bool any_value = !graph.inputs.empty() || !graph.outputs.empty() || !graph.opsets.empty() ||
                         !graph.metadata.empty();
  if (!graph.operators.empty() || any_value) out << '\n';
  if (!graph.operators.empty()) {
    Rows rows = {{"added", "removed", "attributes", "rewired", "operator", "at"}};
    for (const auto& [op, change] : most_changed(graph)) {
      rows.push_back({std::to_string(change.added), std::to_string(change.removed),
                      std::to_string(change.attributes), std::to_string(change.rewired), op,
                      places_of(out, graph, op, change)});
    }
    print_rows(out, rows, 4);
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
  std::istringstream sentences(sentence_of(report, view));
  for (std::string line; std::getline(sentences, line);) print_words(out, line);
  print_classes(out, report);
  print_tensors(out, report, view);
  print_lora(out, report.lora, view);
  print_graph(out, report.graph);
}

}  // namespace wshare
