// The first line of `wshare diff`: what there is to say of two models in one sentence.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "diff_report.h"
#include "format/scope.h"
#include "util/text.h"
#include "util/visible.h"

namespace wshare {
namespace {

// Tensors of some classes.
struct Sum {
  uint64_t tensors = 0, bytes = 0;
  void add(const DiffTensor& tensor) {
    ++tensors;
    bytes += bytes_of(tensor);
  }
};

bool is_changed(const DiffTensor& tensor) {
  switch (tensor.tensor_class) {
    case TensorClass::kCast:
    case TensorClass::kQuantised:
    case TensorClass::kLowRank:
    case TensorClass::kReplaced:
      return true;
    default:
      return false;
  }
}

std::string percent_of(uint64_t part, uint64_t whole) {
  if (part == 0 || whole == 0) return "0 %";
  const double percent = 100 * static_cast<double>(part) / static_cast<double>(whole);
  if (percent < 0.1) return "under 0.1 %";
  return part < whole && percent > 99.9 ? "over 99.9 %"
                                        : fmt::format("{:.{}f} %", percent, percent < 10 ? 1 : 0);
}

// Puts ", " between parts that are not empty.
std::string joined(const std::vector<std::string>& parts, const char* between = ", ") {
  std::string text;
  for (const std::string& part : parts) {
    if (!part.empty()) text += (text.empty() ? "" : between) + part;
  }
  return text;
}

std::string if_any(uint64_t count, const std::string& what) {
  return count == 0 ? "" : std::to_string(count) + " " + what;
}

// "3 nodes added, 1 rewired", of one operator by its name; empty: no nodes changed.
std::string nodes_phrase(const DiffGraph& graph) {
  DiffOperator sum;
  for (const auto& [op, change] : graph.operators) {
    sum.added += change.added;
    sum.removed += change.removed;
    sum.attributes += change.attributes;
    sum.rewired += change.rewired;
  }
  const bool one = graph.operators.size() == 1;
  const std::string op = one ? graph.operators.begin()->first : "";
  std::vector<std::string> parts = {if_any(sum.added, "added"), if_any(sum.removed, "removed"),
                                    if_any(sum.attributes, "with other attributes"),
                                    if_any(sum.rewired, "rewired")};
  for (std::string& part : parts) {
    if (part.empty()) continue;
    const char* node = part.starts_with("1 ") ? "node" : "nodes";
    part.insert(part.find(' ') + 1, (one ? visible(op) : node) + " ");
    break;
  }
  return joined(parts);
}

// A type such as "float32[batch,8]" without what its free dimensions are called.
std::string without_names(const std::string& type) {
  std::string text;
  bool inside = false, named = false;
  for (const char c : type) {
    if (c == '[' || c == ',' || c == ']') {
      named = false;
      inside = c != ']';
      text += c;
    } else if (!inside || (!named && c >= '0' && c <= '9')) {
      text += c;
    } else if (!named) {
      named = true;
      text += '?';
    }
  }
  return text;
}

// "other inputs", or what of them is other in names only; empty: nothing.
std::string values_phrase(const std::vector<DiffValue>& values, const char* what) {
  if (values.empty()) return "";
  const bool only_names = std::all_of(values.begin(), values.end(), [](const DiffValue& value) {
    return without_names(value.a) == without_names(value.b);
  });
  return std::string(only_names ? "other names of dimensions of " : "other ") + what;
}

// "other graph: 1 node added, other inputs", or "same graph, other metadata".
std::string graph_phrase(const DiffGraph& graph) {
  const std::string nodes = nodes_phrase(graph);
  return joined({nodes.empty() ? "same graph" : "other graph: " + nodes,
                 values_phrase(graph.inputs, "inputs"), values_phrase(graph.outputs, "outputs"),
                 graph.opsets.empty() ? "" : "other opset",
                 graph.metadata.empty() ? "" : "other metadata"});
}

// "1.2 MiB of it in 'w'": where one tensor holds half of what changed.
std::string place_phrase(const std::vector<const DiffTensor*>& changed, uint64_t bytes) {
  if (changed.size() < 2 || bytes_of(*changed[0]) < bytes / 2) return "";
  const DiffSide& side = changed[0]->b ? *changed[0]->b : *changed[0]->a;
  return fmt::format("{} of it in {}", format_bytes(bytes_of(*changed[0])),
                     in_quotes(full_name(side.scope, side.name)));
}

// "relative change 0.01 to 0.2" of the weights of 1 KiB and more, or of all where none is so large.
std::string change_phrase(const std::vector<const DiffTensor*>& changed) {
  const bool large = bytes_of(*changed[0]) >= 1024;
  double least = INFINITY, most = 0;
  for (const DiffTensor* tensor : changed) {
    if (!tensor->relative_change || (large && bytes_of(*tensor) < 1024)) continue;
    least = std::min(least, *tensor->relative_change);
    most = std::max(most, *tensor->relative_change);
  }
  if (least > most) return "";
  const std::string from = fmt::format("{:.2g}", least), to = fmt::format("{:.2g}", most);
  return "relative change " + (from == to ? to : from + " to " + to) +
         (least >= 1 ? ", as of unrelated weights" : "");
}

// "2 low_rank (rank 3 to 5), 1 replaced", the class with most bytes first.
std::string class_phrase(const std::vector<const DiffTensor*>& changed) {
  std::map<TensorClass, Sum> sums;
  std::set<int64_t> ranks;
  for (const DiffTensor* tensor : changed) {
    sums[tensor->tensor_class].add(*tensor);
    if (tensor->delta && tensor->delta->rank) ranks.insert(*tensor->delta->rank);
  }
  std::vector<std::pair<uint64_t, std::string>> parts;
  for (const auto& [kind, sum] : sums) {
    std::string part = std::to_string(sum.tensors) + " " + text_of(kind);
    if (kind == TensorClass::kLowRank && !ranks.empty()) {
      part += ranks.size() == 1 ? fmt::format(" (rank {})", *ranks.begin())
                                : fmt::format(" (rank {} to {})", *ranks.begin(), *ranks.rbegin());
    }
    parts.emplace_back(sum.bytes, part);
  }
  std::stable_sort(parts.begin(), parts.end(),
                   [](const auto& x, const auto& y) { return x.first > y.first; });
  std::vector<std::string> texts;
  for (const auto& [bytes, text] : parts) texts.push_back(text);
  return joined(texts);
}

std::string differs(const DiffReport& report, const DiffView& view, const Sum& only_a,
                    const Sum& only_b) {
  std::vector<const DiffTensor*> changed;
  uint64_t bytes = 0;
  for (const DiffTensor& tensor : report.tensors) {
    if (!is_changed(tensor)) continue;
    changed.push_back(&tensor);
    bytes += bytes_of(tensor);
  }
  std::vector<std::string> parts;
  if (only_b.bytes > bytes) {  // first what there is most to say of
    parts.push_back(fmt::format("{} of {} are the same ({})", format_bytes(report.equal_bytes),
                                format_bytes(report.weight_bytes),
                                percent_of(report.equal_bytes, report.weight_bytes)));
  }
  if (!changed.empty()) {
    parts.push_back(fmt::format(
        "{} of {} differ ({}): {}", format_bytes(bytes), format_bytes(report.weight_bytes),
        percent_of(bytes, report.weight_bytes),
        joined({class_phrase(changed), place_phrase(changed, bytes), change_phrase(changed)})));
  }
  const auto only = [&](const Sum& sum, const std::string& name) {
    if (sum.tensors > 0) parts.push_back(format_bytes(sum.bytes) + " only in " + name);
  };
  only(only_a, view.name_a);
  only(only_b, view.name_b);
  return joined(parts, "; ") + "; " + graph_phrase(report.graph);
}

// "B is A quantised to int8: 38 of 38 weights, 85.0 MiB -> 21.4 MiB, relative error 0.0082 (41.7
// dB)"
std::string form_sentence(const DiffForms& forms, const DiffReport& report, const DiffView& view) {
  const DiffForm& sum = forms.sum;
  const uint64_t a = report.weight_bytes_a, b = report.weight_bytes;
  std::string text =
      fmt::format("{} is {} {} to {}: {} of {}, {} -> {}", sum.of_b ? view.name_a : view.name_b,
                  sum.of_b ? view.name_b : view.name_a, text_of(forms.tensor_class), sum.to,
                  forms.weights, count_of(forms.weights_total, "weight"),
                  format_bytes(sum.of_b ? b : a), format_bytes(sum.of_b ? a : b));
  if (sum.snr_db)
    text += fmt::format(", relative error {:.2g} ({:.1f} dB)", sum.relative_error, *sum.snr_db);
  if (sum.off > 0) text += fmt::format(", {} of {} elements off", sum.off, sum.elements);
  return text;
}

// What one model has beside all weights of the other.
std::string holds_all(const DiffReport& report, const std::string& larger,
                      const std::string& smaller, uint64_t bytes, const Sum& more, uint64_t of) {
  std::string text =
      fmt::format("{} holds all weights of {} ({}), and {} more ({})", larger, smaller,
                  format_bytes(bytes), format_bytes(more.bytes), percent_of(more.bytes, of));
  std::set<int64_t> ranks;
  for (const DiffLora& pair : report.lora) ranks.insert(pair.rank);
  if (!ranks.empty()) {
    text +=
        fmt::format(": {} of rank {}", count_of(report.lora.size(), "LoRA pair"),
                    ranks.size() == 1 ? std::to_string(*ranks.begin())
                                      : fmt::format("{} to {}", *ranks.begin(), *ranks.rbegin()));
  }
  return text + "; " + graph_phrase(report.graph);
}

std::string same_weights(const DiffReport& report) {
  const std::string graph = graph_phrase(report.graph);
  if (report.weight_bytes == 0) return "no weights; " + graph;
  const auto renamed = std::count_if(
      report.tensors.begin(), report.tensors.end(),
      [](const DiffTensor& tensor) { return tensor.tensor_class == TensorClass::kRenamed; });
  const std::string names = renamed == 0
                                ? ""
                                : fmt::format(", {} under other names or shapes",
                                              count_of(static_cast<uint64_t>(renamed), "tensor"));
  return fmt::format("same weights ({}){}; {}", format_bytes(report.weight_bytes), names, graph);
}

}  // namespace

std::string sentence_of(const DiffReport& report, const DiffView& view) {
  Sum only_a, only_b;
  for (const DiffTensor& tensor : report.tensors) {
    if (!tensor.b) only_a.add(tensor);
    if (!tensor.a) only_b.add(tensor);
  }
  switch (report.verdict) {
    case DiffVerdict::kEqual: {
      const std::string what =
          fmt::format("{} ({}), {}", count_of(report.tensors.size(), "tensor"),
                      format_bytes(report.weight_bytes), count_of(report.nodes_a, "node"));
      return report.same_file ? "same file: " + what : "equal, but not written alike: " + what;
    }
    case DiffVerdict::kSameWeights:
      return same_weights(report);
    case DiffVerdict::kContains:
      return holds_all(report, view.name_a, view.name_b, report.weight_bytes, only_a,
                       report.weight_bytes_a);
    case DiffVerdict::kContained:
      return holds_all(report, view.name_b, view.name_a, report.weight_bytes_a, only_b,
                       report.weight_bytes);
    case DiffVerdict::kUnrelated:
      return fmt::format("unrelated: none of {}'s weights ({}) is one of {}'s ({}), or near one",
                         view.name_b, format_bytes(report.weight_bytes), view.name_a,
                         format_bytes(report.weight_bytes_a)) +
             "; " + graph_phrase(report.graph);
    case DiffVerdict::kCast:
    case DiffVerdict::kQuantised:
    case DiffVerdict::kDiffers:
      break;
  }
  std::vector<std::string> lines;
  for (const DiffForms& forms : report.forms) lines.push_back(form_sentence(forms, report, view));
  const std::string rest = differs(report, view, only_a, only_b);
  if (report.verdict == DiffVerdict::kDiffers) lines.insert(lines.begin(), rest);
  return joined(lines, "\n");
}

}  // namespace wshare
