#include "inspect_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <ostream>

#include "inspect_parts.h"
#include "inspect_rows.h"
#include "util/text.h"

namespace wshare {
namespace {

// How many models a matrix has that goes to `out`, "100%" for each beside a name.
size_t matrix_models(std::ostream& out) {
  constexpr size_t kName = 26, kEach = 6, kInPipe = 24;
  return columns_of(out) == 0 ? kInPipe : std::max(columns_of(out), kName + kEach) / kEach - 4;
}

constexpr size_t kNamed = 4;  // models that share a tensor; of more the first three

// "a, b (2)": the models of `uses`, with the number of uses where it is not one.
std::string models_of(const std::vector<TensorUse>& uses) {
  std::vector<std::pair<std::string, size_t>> counts;
  for (const TensorUse& use : uses) {
    if (counts.empty() || counts.back().first != use.model) counts.emplace_back(use.model, 0);
    ++counts.back().second;
  }
  std::string text;
  for (size_t i = 0; i < counts.size(); ++i) {
    if (i + 1 >= kNamed && counts.size() > kNamed)
      return text + fmt::format(" and {} more", counts.size() - i);
    text += (text.empty() ? "" : ", ") + counts[i].first;
    if (counts[i].second > 1) text += fmt::format(" ({})", counts[i].second);
  }
  return text;
}

// The second of `uses`, and how many there are besides.
std::string others_of(const std::vector<TensorUse>& uses) {
  const std::string second = name_of(uses[1]);
  return uses.size() == 2 ? second : fmt::format("{} and {} more", second, uses.size() - 2);
}

void print_compared(std::ostream& out, const std::vector<const InspectedModel*>& models,
                    const Inspection& inspection) {
  const bool is_bundle = !inspection.bundle.empty();
  const bool is_one = inspection.models.size() == 1;  // then own and shared say nothing
  const bool any_repeated = std::any_of(models.begin(), models.end(),
                                        [](const auto* each) { return each->repeated_bytes > 0; });
  Rows rows = {{"bytes"}};
  if (is_one) {
    rows[0].push_back("of tensors");
  } else {
    rows[0].insert(rows[0].end(), {"own", "shared"});
  }
  if (any_repeated) rows[0].push_back("repeated");
  rows[0].push_back("saved");
  if (is_bundle) rows[0].push_back("freed");
  rows[0].insert(rows[0].end(), {"tensors", "model"});
  for (const InspectedModel* model : models) {
    std::vector<std::string>& row = rows.emplace_back();
    row.push_back(format_bytes(model->bytes));
    if (is_one) {
      row.push_back(format_bytes(model->tensor_bytes));
    } else {
      row.push_back(format_bytes(model->own_bytes));
      row.push_back(format_bytes(model->shared_bytes));
    }
    if (any_repeated) row.push_back(format_bytes(model->repeated_bytes));
    row.push_back(format_bytes(model->saved_bytes));
    if (is_bundle) row.push_back(model->freed_bytes ? format_bytes(*model->freed_bytes) : "-");
    row.insert(row.end(), {std::to_string(model->tensors), model->name});
  }
  const size_t numbers = rows[0].size() - 1;
  print_rows(out, std::move(rows), numbers);
}

void print_models(std::ostream& out, const Inspection& inspection, const InspectView& view) {
  std::vector<const InspectedModel*> models =
      in_order(inspection.models, view.order, [](const auto& each) { return each.name; });
  models.resize(std::min<size_t>(models.size(), rows_of_models(view)));
  if (!inspection.compared) {
    Rows rows = {{"bytes", "of tensors", "tensors", "model"}};
    for (const InspectedModel* model : models) {
      rows.push_back({format_bytes(model->bytes), format_bytes(model->tensor_bytes),
                      std::to_string(model->tensors), model->name});
    }
    return print_rows(out, rows, 3);
  }
  print_compared(out, models, inspection);
  for (const InspectedModel* model : models) {
    if (!model->same_as.empty())
      out << fmt::format("{}: same file as {}\n", in_quotes(model->name),
                         in_quotes(model->same_as));
  }
}

void print_duplicates(std::ostream& out, const Inspection& inspection, const InspectView& view) {
  out << '\n';
  if (inspection.duplicates.empty()) {
    out << fmt::format("no tensor of at least {} bytes occurs twice\n", view.min_bytes);
    return;
  }
  const bool one_model = inspection.models.size() == 1;  // then its name says nothing
  Rows rows = {{"saved", "bytes", "uses", "tensor", one_model ? "equal to" : "in"}};
  for (const Duplicate& duplicate : inspection.duplicates) {
    if (rows.size() > view.top) break;
    rows.push_back({format_bytes(duplicate.saved()), format_bytes(duplicate.bytes),
                    std::to_string(duplicate.uses.size()), name_of(duplicate.uses[0]),
                    one_model ? others_of(duplicate.uses) : models_of(duplicate.uses)});
  }
  shorten_column(out, rows, 3, 33);
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
  const auto model_and_name = [](const TensorUse& use) { return use.model + ": " + name_of(use); };
  for (const TransposedTwin& twin : inspection.twins) {
    if (rows.size() > view.top) break;
    rows.push_back(
        {format_bytes(twin.bytes), model_and_name(twin.tensor), model_and_name(twin.transpose_of)});
  }
  shorten_column(out, rows, 1, 41);
  print_rows(out, rows, 1);
  print_more(out, inspection.twins.size(), view.top);
  out << fmt::format("{} less if one of each two were stored\n",
                     format_bytes(*inspection.transposed_bytes));
}

// The rows of the matrix whose models share most, those that share side by side.
std::vector<size_t> rows_of_matrix(const Inspection& inspection, const InspectView& view,
                                   size_t most) {
  std::vector<size_t> chosen;
  for (size_t row = 0; row < inspection.compared_models.size(); ++row) {
    if (inspection.models[inspection.compared_models[row]].shared_bytes > 0) chosen.push_back(row);
  }
  const auto model = [&](size_t row) -> const InspectedModel& {
    return inspection.models[inspection.compared_models[row]];
  };
  std::stable_sort(chosen.begin(), chosen.end(), [&](size_t a, size_t b) {
    return model(a).shared_bytes > model(b).shared_bytes;
  });
  chosen.resize(std::min(chosen.size(), most));
  std::stable_sort(chosen.begin(), chosen.end(), [&](size_t a, size_t b) {
    return view.order == RowOrder::kName ? model(a).name < model(b).name
                                         : model(a).bytes > model(b).bytes;
  });
  return view.order == RowOrder::kName ? chosen : clustered(inspection.matrix, chosen);
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
  const std::vector<size_t> chosen = rows_of_matrix(inspection, view, matrix_models(out));
  out << "how much of each model's tensors model 1, 2, ... has too\n";
  Rows rows(1);
  for (size_t column = 1; column <= chosen.size(); ++column) {
    rows[0].push_back(std::to_string(column));
  }
  rows[0].push_back("model");
  for (const size_t r : chosen) {
    std::vector<std::string>& row = rows.emplace_back();
    for (const size_t other : chosen) {
      row.push_back(percent_of(inspection.matrix[r][other], inspection.matrix[r][r]));
    }
    const std::string& name = inspection.models[inspection.compared_models[r]].name;
    row.push_back(fmt::format("{} {}", rows.size() - 1, name));
  }
  print_rows(out, rows, chosen.size());
  if (const size_t hidden = inspection.models.size() - chosen.size(); hidden != 0) {
    out << fmt::format("{}, none of which shares more\n", count_of(hidden, "more model"));
  }
}

void print_extract(std::ostream& out, const Inspection& inspection, const InspectView& view) {
  if (!inspection.extract) return;
  const ExtractEstimate& estimate = *inspection.extract;
  Rows rows = {{"weights", "bytes", "adapter", "rank", "extract-lora might make adapters of"}};
  for (const ExtractableTask& task : estimate.tasks) {
    if (rows.size() > rows_of_models(view)) break;
    rows.push_back({std::to_string(task.weights), format_bytes(task.bytes),
                    format_bytes(task.adapter_bytes), std::to_string(task.largest_rank),
                    task.model});
  }
  out << '\n';
  print_rows(out, rows, 4);
  print_more(out, estimate.tasks.size(), rows_of_models(view));
  out << fmt::format("over {}: about {} less than by sharing alone\n", fit(out, estimate.base, 30),
                     format_bytes(estimate.saved_bytes));
}

void print_relations(std::ostream& out, const Inspection& inspection, const InspectView& view) {
  if (inspection.relations.empty()) return;
  Rows rows = {{"own", "archive", "", "weights", "archive might keep"}};
  for (const ModelRelation& relation : inspection.relations) {
    if (rows.size() > rows_of_models(view)) break;
    const double share = 100.0 * static_cast<double>(relation.predicted_bytes) /
                         static_cast<double>(std::max<uint64_t>(relation.own_bytes, 1));
    rows.push_back({format_bytes(relation.own_bytes), format_bytes(relation.predicted_bytes),
                    fmt::format("{:.0f} %", share),
                    fmt::format("{} of {}", relation.weights, relation.weights_total),
                    fmt::format("{}: {} from {}", relation.model, relation.kind, relation.of)});
  }
  out << '\n';
  print_rows(out, rows, 4);
  print_more(out, inspection.relations.size(), rows_of_models(view));
}

std::string percent_of_files(uint64_t part, uint64_t whole) {
  return whole == 0 ? ""
                    : fmt::format(" ({:.0f} %)",
                                  100 * static_cast<double>(part) / static_cast<double>(whole));
}

// The answer, before all that leads to it.
void print_total(std::ostream& out, const Inspection& inspection) {
  const uint64_t before = inspection.input_bytes;
  const uint64_t after = inspection.predicted_bundle_bytes;
  const uint64_t change = before >= after ? before - after : after - before;
  const bool is_bundle = !inspection.bundle.empty();
  if (!inspection.compared) {
    out << fmt::format("tensors: {}; weights were not read, so nothing is known of what is equal\n",
                       format_bytes(inspection.total_bytes));
    return;
  }
  out << fmt::format("{}: {} -> {}, {} {}{}\n", is_bundle ? "alone -> here" : "files -> a bundle",
                     format_bytes(before), format_bytes(after), format_bytes(change),
                     before >= after ? "saved" : "added", percent_of_files(change, before));
  std::string tensors =
      fmt::format("tensors{}: {}, {} distinct", is_bundle ? " in blobs" : "",
                  format_bytes(inspection.total_bytes), format_bytes(inspection.distinct_bytes));
  if (inspection.shared_bytes > 0) {
    tensors += fmt::format("; {} are in several models, and stored once",
                           format_bytes(inspection.shared_bytes));
  }
  uint64_t packs = 0;
  for (const InspectedBlob& blob : inspection.blobs) packs += blob.of_packs ? blob.bytes : 0;
  if (packs > 0) tensors += fmt::format("; {} are packs", format_bytes(packs));
  print_words(out, tensors);
}

}  // namespace

void print_inspection(std::ostream& out, const Inspection& inspection, const InspectView& view) {
  print_total(out, inspection);
  out << '\n';
  print_models(out, inspection, view);
  print_more(out, inspection.models.size(), rows_of_models(view));
  if (inspection.models.size() == 1) print_parts(out, inspection.models[0], view);
  print_bundle_parts(out, inspection, view);
  const bool any_tensor =
      std::any_of(inspection.models.begin(), inspection.models.end(),
                  [](const InspectedModel& model) { return model.tensors > 0; });
  if (!any_tensor) {
    out << (inspection.bundle.empty() ? "\nno tensors, so there is nothing to share\n"
                                      : "\nno tensors in blobs\n");
  } else if (inspection.compared) {
    print_duplicates(out, inspection, view);
    print_matrix(out, inspection, view);
    print_twins(out, inspection, view);
    print_relations(out, inspection, view);
    print_extract(out, inspection, view);
  }
  print_findings(out, inspection, view);
}

}  // namespace wshare
