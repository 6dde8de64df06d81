#include "inspect_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <ostream>

#include "cli.h"
#include "util/text.h"

namespace wshare {
namespace {

constexpr size_t kLineWidth = 80;
constexpr size_t kMatrixModels = 9;  // of "100%" each, beside a name

using Rows = std::vector<std::vector<std::string>>;

// Where the characters of `text` begin, in order; then its end.
std::vector<size_t> character_starts(const std::string& text) {
  std::vector<size_t> starts;
  for (size_t i = 0; i < text.size(); ++i) {
    if ((text[i] & 0xc0) != 0x80) starts.push_back(i);
  }
  starts.push_back(text.size());
  return starts;
}

// Returns `text` in at most `width` columns, cut in the middle, since names differ at their ends.
std::string fit(const std::string& text, size_t width) {
  const std::vector<size_t> starts = character_starts(text);
  const size_t length = starts.size() - 1;
  if (length <= width) return text;
  const size_t front = (width - 3) / 2;
  const size_t back = width - 3 - front;
  return text.substr(0, starts[front]) + "..." + text.substr(starts[length - back]);
}

// Prints rows whose last column takes what the others leave of the line.
void print_rows(std::ostream& out, Rows rows, size_t numbers) {
  std::vector<size_t> widths(rows[0].size(), 0);
  for (const std::vector<std::string>& row : rows) {
    for (size_t i = 0; i + 1 < row.size(); ++i) {
      widths[i] = std::max(widths[i], character_starts(row[i]).size() - 1);
    }
  }
  size_t left = kLineWidth;
  for (size_t i = 0; i + 1 < widths.size(); ++i) left -= widths[i] + 2;
  for (std::vector<std::string>& row : rows) row.back() = fit(row.back(), left);
  print_table(out, rows, numbers);
}

void print_more(std::ostream& out, size_t count, uint64_t shown) {
  if (count > shown) out << fmt::format("... and {} more (--top)\n", count - shown);
}

std::string name_of(const std::string& scope, const std::string& tensor) {
  return scope.empty() ? tensor : scope + "/" + tensor;
}

std::string name_of(const TensorUse& use) { return name_of(use.scope, use.tensor); }

// "a, b (2)": the models of `uses`, with the number of uses where it is not one.
std::string models_of(const std::vector<TensorUse>& uses) {
  std::vector<std::pair<std::string, size_t>> counts;
  for (const TensorUse& use : uses) {
    if (counts.empty() || counts.back().first != use.model) counts.emplace_back(use.model, 0);
    ++counts.back().second;
  }
  std::string text;
  for (const auto& [model, count] : counts) {
    text += (text.empty() ? "" : ", ") + model;
    if (count > 1) text += fmt::format(" ({})", count);
  }
  return text;
}

// Returns pointers to `items`, the largest first or by name.
template <typename Item, typename Name>
std::vector<const Item*> in_order(const std::vector<Item>& items, RowOrder order, Name name) {
  std::vector<const Item*> sorted;
  for (const Item& item : items) sorted.push_back(&item);
  std::stable_sort(sorted.begin(), sorted.end(), [&](const Item* a, const Item* b) {
    return order == RowOrder::kName ? name(*a) < name(*b) : a->bytes > b->bytes;
  });
  return sorted;
}

void print_counts(std::ostream& out, const std::vector<TensorCount>& counts, const char* heading,
                  const char* empty_name, const InspectView& view) {
  if (counts.empty()) return;
  Rows rows = {{"bytes", "tensors", heading}};
  for (const TensorCount& count : counts) {
    if (rows.size() > view.top) break;
    rows.push_back({format_bytes(count.bytes), std::to_string(count.tensors),
                    count.what.empty() ? empty_name : count.what});
  }
  out << '\n';
  print_rows(out, rows, 2);
  print_more(out, counts.size(), view.top);
}

void print_largest(std::ostream& out, const InspectedModel& model, const InspectView& view) {
  if (model.largest.empty()) return;
  Rows rows = {{"bytes", "dtype", "shape", "read by", "largest tensors"}};
  for (const InspectedTensor* tensor :
       in_order(model.largest, view.order, [](const auto& each) { return each.tensor; })) {
    rows.push_back({format_bytes(tensor->bytes), tensor->dtype,
                    fit(fmt::format("{}", fmt::join(tensor->shape, "x")), 16),
                    fit(tensor->op.empty() ? "-" : tensor->op, 16),
                    name_of(tensor->scope, tensor->tensor)});
  }
  out << '\n';
  print_rows(out, rows, 1);
}

void print_external(std::ostream& out, const InspectedModel& model) {
  if (model.external.empty()) return;
  Rows rows = {{"bytes", "external file"}};
  for (const FileBytes& file : model.external) {
    rows.push_back({format_bytes(file.bytes), file.file});
  }
  out << '\n';
  print_rows(out, rows, 1);
}

// The parts of one model; how it shares with others is told for all models together.
void print_parts(std::ostream& out, const InspectedModel& model, const InspectView& view) {
  print_counts(out, model.by_dtype, "dtype", "", view);
  print_counts(out, model.by_home, "home", "", view);
  print_counts(out, model.by_op, "first read by", "no node", view);
  if (model.by_scope.size() > 1) print_counts(out, model.by_scope, "scope", "main graph", view);
  print_counts(out, model.left_inline, "stays in the model, why", "", view);
  print_largest(out, model, view);
  print_external(out, model);
}

void print_models(std::ostream& out, const Inspection& inspection, const InspectView& view) {
  Rows rows = {{"bytes", "own", "shared", "repeated", "tensors", "model"}};
  for (const InspectedModel* model :
       in_order(inspection.models, view.order, [](const auto& each) { return each.name; })) {
    rows.push_back({format_bytes(model->bytes), format_bytes(model->own_bytes),
                    format_bytes(model->shared_bytes), format_bytes(model->repeated_bytes),
                    std::to_string(model->tensors), model->name});
  }
  print_rows(out, rows, 5);
}

void print_blobs(std::ostream& out, const Inspection& inspection) {
  if (inspection.blobs.empty()) return;
  Rows rows = {{"bytes", "blob", "used by"}};
  for (const InspectedBlob& blob : inspection.blobs) {
    rows.push_back(
        {format_bytes(blob.bytes), fit(blob.file, 30),
         blob.models.empty() ? "restore" : fmt::format("{}", fmt::join(blob.models, ", "))});
  }
  out << '\n';
  print_rows(out, rows, 1);
}

void print_tasks(std::ostream& out, const Inspection& inspection) {
  if (inspection.tasks.empty()) return;
  Rows rows = {{"adapter", "parameters", "residual", "own model", "base", "task"}};
  for (const InspectedTask& task : inspection.tasks) {
    const bool has_adapter = !task.adapter.empty();
    rows.push_back({has_adapter ? format_bytes(task.adapter_bytes) : "-",
                    has_adapter ? std::to_string(task.parameters) : "-",
                    task.residual_bytes > 0 ? format_bytes(task.residual_bytes) : "-",
                    task.model.empty() ? "-" : fit(task.model, 30), fit(task.base, 30), task.name});
  }
  out << '\n';
  print_rows(out, rows, 3);
}

void print_duplicates(std::ostream& out, const Inspection& inspection, const InspectView& view) {
  out << '\n';
  if (inspection.duplicates.empty()) {
    out << fmt::format("no tensor of at least {} bytes occurs twice\n", view.min_bytes);
    return;
  }
  Rows rows = {{"saved", "bytes", "uses", "tensor", "in"}};
  for (const Duplicate& duplicate : inspection.duplicates) {
    if (rows.size() > view.top) break;
    rows.push_back({format_bytes(duplicate.saved()), format_bytes(duplicate.bytes),
                    std::to_string(duplicate.uses.size()), fit(name_of(duplicate.uses[0]), 26),
                    models_of(duplicate.uses)});
  }
  print_rows(out, rows, 3);
  print_more(out, inspection.duplicates.size(), view.top);
}

void print_twins(std::ostream& out, const Inspection& inspection, const InspectView& view) {
  if (!inspection.transposed_bytes) return;  // weights were not read
  out << '\n';
  if (inspection.twins.empty()) {
    out << fmt::format("no matrix of at least {} bytes is the transpose of another\n",
                       view.min_bytes);
    return;
  }
  Rows rows = {{"bytes", "tensor", "is the transpose of"}};
  const auto full_name = [](const TensorUse& use) { return use.model + ": " + name_of(use); };
  for (const TransposedTwin& twin : inspection.twins) {
    if (rows.size() > view.top) break;
    rows.push_back(
        {format_bytes(twin.bytes), fit(full_name(twin.tensor), 33), full_name(twin.transpose_of)});
  }
  print_rows(out, rows, 1);
  print_more(out, inspection.twins.size(), view.top);
  out << fmt::format("{} less if one of each two were stored\n",
                     format_bytes(*inspection.transposed_bytes));
}

// The models that share most, in the order of the table of models.
std::vector<size_t> models_of_matrix(const Inspection& inspection, const InspectView& view) {
  std::vector<size_t> chosen;
  for (size_t m = 0; m < inspection.models.size(); ++m) chosen.push_back(m);
  const auto& models = inspection.models;
  std::stable_sort(chosen.begin(), chosen.end(), [&](size_t a, size_t b) {
    return models[a].shared_bytes > models[b].shared_bytes;
  });
  chosen.resize(std::min(chosen.size(), kMatrixModels));
  std::stable_sort(chosen.begin(), chosen.end(), [&](size_t a, size_t b) {
    return view.order == RowOrder::kName ? models[a].name < models[b].name
                                         : models[a].bytes > models[b].bytes;
  });
  return chosen;
}

// Rounds down, so that 100% is all and 0% is nothing.
std::string percent_of(uint64_t part, uint64_t whole) {
  if (part == 0) return "0%";
  const auto percent =
      static_cast<int>(100 * (static_cast<double>(part) / static_cast<double>(whole)));
  return part == whole ? "100%" : percent == 0 ? "<1%" : fmt::format("{}%", std::min(percent, 99));
}

void print_matrix(std::ostream& out, const Inspection& inspection, const InspectView& view) {
  if (inspection.models.size() < 2) return;
  out << '\n';
  if (inspection.shared_bytes == 0) {
    out << fmt::format("no two models share a tensor of at least {} bytes\n", view.min_bytes);
    return;
  }
  const std::vector<size_t> chosen = models_of_matrix(inspection, view);
  out << "how much of each model's tensors model 1, 2, ... has too\n";
  Rows rows(1);
  for (size_t column = 1; column <= chosen.size(); ++column) {
    rows[0].push_back(std::to_string(column));
  }
  rows[0].push_back("model");
  for (const size_t m : chosen) {
    std::vector<std::string>& row = rows.emplace_back();
    for (const size_t other : chosen) {
      row.push_back(percent_of(inspection.matrix[m][other], inspection.matrix[m][m]));
    }
    row.push_back(fmt::format("{} {}", rows.size() - 1, inspection.models[m].name));
  }
  print_rows(out, rows, chosen.size());
  if (const size_t hidden = inspection.models.size() - chosen.size(); hidden != 0) {
    out << fmt::format("{} more models, none of which shares more, are not shown\n", hidden);
  }
}

void print_total(std::ostream& out, const Inspection& inspection) {
  const uint64_t before = inspection.input_bytes;
  const uint64_t after = inspection.predicted_bundle_bytes;
  const bool is_bundle = !inspection.bundle.empty();
  out << fmt::format("\ntensors{}: {}, {} distinct\n", is_bundle ? " in blobs" : "",
                     format_bytes(inspection.total_bytes), format_bytes(inspection.distinct_bytes));
  out << fmt::format("{}: {} -> {}, {} {}\n", is_bundle ? "alone -> here" : "files -> a bundle",
                     format_bytes(before), format_bytes(after),
                     format_bytes(before >= after ? before - after : after - before),
                     before >= after ? "saved" : "added");
}

}  // namespace

void print_inspection(std::ostream& out, const Inspection& inspection, const InspectView& view) {
  print_models(out, inspection, view);
  if (inspection.models.size() == 1) print_parts(out, inspection.models[0], view);
  print_blobs(out, inspection);
  print_tasks(out, inspection);
  print_duplicates(out, inspection, view);
  print_matrix(out, inspection, view);
  print_twins(out, inspection, view);
  print_total(out, inspection);
}

}  // namespace wshare
