#include "inspect_parts.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <ostream>
#include <utility>

#include "format/scope.h"
#include "inspect_rows.h"
#include "util/text.h"
#include "util/visible.h"

namespace wshare {
namespace {

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
                    fit(out, fmt::format("{}", fmt::join(tensor->shape, "x")), 16),
                    fit(out, tensor->op.empty() ? "-" : tensor->op, 16),
                    full_name(tensor->scope, tensor->tensor)});
  }
  out << '\n';
  print_rows(out, rows, 1);
}

void print_external(std::ostream& out, const InspectedModel& model, const InspectView& view) {
  if (model.external.empty()) return;
  Rows rows = {{"bytes", "external file"}};
  for (const InspectedFile& file : model.external) {
    if (rows.size() > rows_of_models(view)) break;
    const std::string note =
        file.complete() ? "" : ": " + format_bytes(file.needed) + " are needed";
    rows.push_back({file.bytes ? format_bytes(*file.bytes) : "missing", file.file + note});
  }
  out << '\n';
  print_rows(out, rows, 1);
  print_more(out, model.external.size(), rows_of_models(view));
}

void print_blobs(std::ostream& out, const Inspection& inspection, const InspectView& view) {
  if (inspection.blobs.empty()) return;
  Rows rows = {{"bytes", "blob", "used by"}};
  for (const InspectedBlob& blob : inspection.blobs) {
    if (rows.size() > rows_of_models(view)) break;
    rows.push_back({format_bytes(blob.bytes), fit(out, blob.file, 30),
                    blob.models.empty() ? "restore" : some_of(blob.models)});
  }
  out << '\n';
  print_rows(out, rows, 1);
  print_more(out, inspection.blobs.size(), rows_of_models(view));
}

void print_tasks(std::ostream& out, const Inspection& inspection, const InspectView& view) {
  if (inspection.tasks.empty()) return;
  Rows rows = {{"adapter", "parameters", "residual", "freed", "own model", "base", "task"}};
  for (const InspectedTask& task : inspection.tasks) {
    if (rows.size() > rows_of_models(view)) break;
    const bool has_adapter = !task.adapter.empty();
    rows.push_back({has_adapter ? format_bytes(task.adapter_bytes) : "-",
                    has_adapter ? std::to_string(task.parameters) : "-",
                    task.residual_bytes > 0 ? format_bytes(task.residual_bytes) : "-",
                    format_bytes(task.freed_bytes),
                    task.model.empty() ? "-" : fit(out, task.model, 16), fit(out, task.base, 16),
                    task.name});
  }
  out << '\n';
  print_rows(out, rows, 4);
  print_more(out, inspection.tasks.size(), rows_of_models(view));
}

void print_packs(std::ostream& out, const Inspection& inspection, const InspectView& view) {
  if (inspection.packs.empty()) return;
  Rows rows = {{"bytes", "packed", "ONNX Runtime", "level", "CPU", "pack of"}};
  std::vector<std::string> cpus;  // by number, from 1 on
  for (const InspectedPack& pack : inspection.packs) {
    if (rows.size() > rows_of_models(view)) break;
    const auto known = std::find(cpus.begin(), cpus.end(), pack.cpu);
    const auto number = known - cpus.begin() + 1;
    if (known == cpus.end()) cpus.push_back(pack.cpu);
    rows.push_back({format_bytes(pack.bytes), format_bytes(pack.packed_bytes), fit(out, pack.onnxruntime, 16),
                    fit(out, pack.optimization, 10), std::to_string(number),
                    pack.current ? pack.model : pack.model + " as it was: of no use now"});
  }
  out << '\n';
  print_rows(out, rows, 2);
  print_more(out, inspection.packs.size(), rows_of_models(view));
  for (size_t i = 0; i < cpus.size(); ++i)
    out << "CPU " << i + 1 << ": " << visible(cpus[i]) << '\n';
}

void print_archived(std::ostream& out, const Inspection& inspection, const InspectView& view) {
  if (inspection.archived.empty()) return;
  Rows rows = {{"before", "archive", "base", "archived model"}};
  for (const InspectedArchive& model : inspection.archived) {
    if (rows.size() > rows_of_models(view)) break;
    rows.push_back({format_bytes(model.bytes), format_bytes(model.archived_bytes),
                    model.base.empty() ? "-" : fit(out, model.base, 30), model.name});
  }
  out << '\n';
  print_rows(out, rows, 2);
  print_more(out, inspection.archived.size(), rows_of_models(view));
}

std::string title_of(const std::string& id) {
  for (const FindingKind& kind : finding_kinds()) {
    if (kind.id == id) return kind.title;
  }
  return "";
}

// "model: tensor" or "model: file", and what is to be said of it; the name is cut where both are
// too long for the line of `out`.
std::string text_of(std::ostream& out, const FindingPlace& place, bool with_model) {
  constexpr size_t kBeside = 22, kShortest = 24;  // sizes and counts; of a name
  std::string text = place.file.empty() ? name_of(place.use) : place.file;
  if (with_model && !place.use.model.empty()) {
    text = place.use.model + (text.empty() ? "" : ": " + text);
  }
  if (place.note.empty()) return text;
  const size_t columns = columns_of(out), taken = place.note.size() + 3 + kBeside;
  if (columns > 0) text = fit(text, std::max(columns, taken + kShortest) - taken);
  return text + " (" + place.note + ")";
}

// Wrong, whatever it costs.
bool is_damage(const std::string& id) {
  return id == "WS001" || id == "WS003" || id == "WS040" || id == "WS041";
}

// A thousandth of the files that were looked at is not worth a line, where there is more.
bool is_trifle(const Finding& finding, const Inspection& inspection, const InspectView& view) {
  constexpr uint64_t kWorthALine = uint64_t{64} << 10;
  return view.top != UINT64_MAX && !is_damage(finding.id) &&
         finding.bytes < std::min(kWorthALine, inspection.input_bytes / 1000);
}

void print_trifles(std::ostream& out, const std::vector<const Finding*>& cheap) {
  if (cheap.empty()) return;
  uint64_t bytes = 0;
  std::string ids;
  for (const Finding* finding : cheap) {
    bytes += finding->bytes;
    ids += (ids.empty() ? "" : ", ") + finding->id;
  }
  out << fmt::format("{} of {} in all: {} (--all)\n", count_of(cheap.size(), "finding"),
                     format_bytes(bytes), ids);
}

}  // namespace

void print_parts(std::ostream& out, const InspectedModel& model, const InspectView& view) {
  print_counts(out, model.by_dtype, "dtype", "", view);
  print_counts(out, model.by_home, "home", "", view);
  print_counts(out, model.by_op, "first read by", "no node", view);
  if (model.by_scope.size() > 1) print_counts(out, model.by_scope, "scope", "main graph", view);
  print_counts(out, model.left_inline, "stays in the model, why", "", view);
  print_largest(out, model, view);
  print_external(out, model, view);
}

void print_bundle_parts(std::ostream& out, const Inspection& inspection, const InspectView& view) {
  print_blobs(out, inspection, view);
  print_tasks(out, inspection, view);
  print_packs(out, inspection, view);
  print_archived(out, inspection, view);
}

void print_findings(std::ostream& out, const Inspection& inspection, const InspectView& view) {
  if (inspection.findings.empty()) {
    out << "\nno findings\n";
    return;
  }
  std::vector<const Finding*> dear, cheap;
  for (const Finding& finding : inspection.findings)
    (is_trifle(finding, inspection, view) ? cheap : dear).push_back(&finding);
  if (cheap.size() == 1) dear.push_back(std::exchange(cheap, {})[0]);  // as long as its line
  std::stable_sort(dear.begin(), dear.end(),
                   [](const Finding* a, const Finding* b) { return a->bytes > b->bytes; });
  Rows rows = {{"costs", "places", "finding, and its largest place"}};
  const bool with_model = inspection.models.size() > 1;
  for (const Finding* finding : dear) {
    rows.push_back({format_bytes(finding->bytes), std::to_string(finding->places.size()),
                    finding->id + " " + title_of(finding->id)});
    rows.push_back({"", "", "  " + text_of(out, finding->places[0], with_model)});
  }
  out << '\n';
  if (!dear.empty()) print_rows(out, rows, 2);
  print_trifles(out, cheap);
}

}  // namespace wshare
