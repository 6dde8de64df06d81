#include "run_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <span>

#include "cli.h"
#include "rows.h"
#include "run/job_json.h"
#include "short_message.h"
#include "util/name_list.h"
#include "util/text.h"
#include "util/visible.h"

namespace wshare {
namespace {

constexpr size_t kMostModels = 20;  // in a table

const char* for_people(LeftReason reason) {
  switch (reason) {
    case LeftReason::kSmall:
      return "under 64 KiB";
    case LeftReason::kFolded:
      return "folded by optimisers";
    case LeftReason::kAmbiguousName:
      return "name used more than once";
    case LeftReason::kFunction:
      return "in a function";
    case LeftReason::kDtype:
      return "element type";
    case LeftReason::kProvider:
      return "the provider reads the file, and shares by itself";
  }
  return "";
}

std::string in_ms(double milliseconds) { return fmt::format("{:.1f}", milliseconds); }

bool is_same_model(const SessionFigures& a, const SessionFigures& b) {
  return a.model == b.model && a.task == b.task;
}

using Figures = std::span<const SessionFigures>;

// Returns the sessions of one model or task at the front of `figures`: they stand side by side.
Figures first_group(Figures figures) {
  size_t count = 0;
  while (count < figures.size() && is_same_model(figures[count], figures[0])) ++count;
  return figures.first(count);
}

// Returns the plain sessions on the original called `name`; none if there is no original.
Figures find_plain(Figures figures, const std::string& name) {
  while (!figures.empty() && figures[0].name() != name) figures = figures.subspan(1);
  return first_group(figures);
}

// The median over the sessions that were made; a session that was there already has no stages.
std::string median_of(double CreationStages::*stage, Figures figures) {
  std::vector<double> times;
  for (const SessionFigures& session : figures) {
    if (session.stages) times.push_back((*session.stages).*stage);
  }
  return times.empty() ? "-" : in_ms(median(times));
}

// The medians over the sessions of one model, and the least and most that a run took.
std::vector<std::string> describe_times(Figures figures) {
  std::vector<double> create, first, run;
  double least = figures[0].run_ms_min, most = 0;
  for (const SessionFigures& session : figures) {
    create.push_back(session.create_ms);
    first.push_back(session.first_run_ms);
    run.push_back(session.run_ms_median);
    least = std::min(least, session.run_ms_min);
    most = std::max(most, session.run_ms_max);
  }
  return {std::to_string(figures.size()),
          in_ms(median(create)),
          median_of(&CreationStages::load, figures),
          median_of(&CreationStages::optimise, figures),
          median_of(&CreationStages::pack, figures),
          in_ms(median(first)),
          in_ms(median(run)),
          in_ms(least) + "-" + in_ms(most)};
}

// "create 12.1 ms, run 3.2 ms"
std::string describe_all(const Measurement& measurement) {
  const std::vector<std::string> times = describe_times(measurement.sessions);
  return "create " + times[1] + " ms, run " + times[6] + " ms";
}

void print_sessions(std::ostream& out, const RunReport& report) {
  Rows rows = {
      {"sessions", "create ms", "load", "optimise", "pack", "first", "run", "spread", "model"}};
  const size_t numbers = rows[0].size() - 1;
  Figures rest = report.shared.sessions;
  size_t groups = 0;
  while (!rest.empty()) {
    const Figures group = first_group(rest);
    rest = rest.subspan(group.size());
    if (++groups > kMostModels) continue;
    rows.push_back(describe_times(group));
    const bool is_over_base = !group[0].task.empty() && group[0].shares_session;
    rows.back().push_back(group[0].name() + (is_over_base ? " (over " + group[0].model + ")" : ""));
    if (!report.baseline) continue;
    const Figures plain = find_plain(report.baseline->sessions, group[0].name());
    if (plain.empty()) continue;
    rows.push_back(describe_times(plain));
    rows.back().push_back(group[0].name() + " (plain)");
  }
  print_rows(out, rows, numbers);
  if (groups > kMostModels) {
    out << fmt::format("... and {} more (--json); ", groups - kMostModels)
        << "medians of all: " << describe_all(report.shared)
        << (report.baseline ? ", plain " + describe_all(*report.baseline) : "") << '\n';
  }
}

// True if sessions pack weights, each for itself.
bool packs_alone(const ModelReport& model) {
  return !model.packed_shared && model.tier != Tier::kCompact;
}

// "3 tensors, 12.0 MiB (folded by optimisers)". Small tensors are left out: they are
// in every model and cost next to nothing.
std::string describe_left(const ModelReport& model) {
  std::string text;
  for (const LeftTensors& group : model.left) {
    if (group.reason == LeftReason::kSmall) continue;
    text +=
        fmt::format("{}{}, {} ({})", text.empty() ? "" : "; ", count_of(group.tensors, "tensor"),
                    format_bytes(group.bytes), for_people(group.reason));
  }
  return text;
}

void print_models(std::ostream& out, const RunReport& report) {
  Rows rows = {{"shared", report.ep == "cpu" ? "tier" : "own", "model"}};
  bool any_left = false;
  uint64_t shared = 0;
  size_t alone = 0, shown = 0;
  for (const ModelReport& model : report.shared.models) {
    shared += model.shared_bytes;
    alone += packs_alone(model) ? 1 : 0;
    if (++shown > kMostModels) continue;
    const std::string second =
        model.device ? format_bytes(model.device->own_bytes) : text_of(model.tier);
    rows.push_back({format_bytes(model.shared_bytes), second, model.model, describe_left(model)});
    any_left = any_left || !rows.back().back().empty();
  }
  if (any_left) rows[0].push_back("left to ONNX Runtime");
  shorten_column(out, rows, 2, any_left ? 40 : 70);
  print_rows(out, std::move(rows), report.ep == "cpu" ? 1 : 2);
  const size_t models = report.shared.models.size();
  if (models > kMostModels) {
    out << fmt::format("... and {} more (--json), {} in all\n", models - kMostModels,
                       format_bytes(shared));
  }
  if (alone > 0) {
    out << fmt::format(
        "packed forms of weights: each session has its own{}; this ONNX Runtime cannot share "
        "them\n",
        alone == models ? "" : fmt::format(" of {} of {} models", alone, models));
  }
}

// Says whose packs are used that another release made.
void print_packed_by(std::ostream& out, const RunReport& report) {
  std::map<std::string, std::vector<std::string>> models;
  for (const ModelReport& model : report.shared.models) {
    if (!model.packed_by.empty() && model.packed_by != report.onnxruntime.version)
      models[model.packed_by].push_back(model.model);
  }
  for (const auto& [version, names] : models) {
    out << visible("over packs of ONNX Runtime " + version + ", which this release takes (" +
                   list_in_quotes(names) + ")")
        << '\n';
  }
}

// Says once for all models that have the same reason why they are not packed.
void print_why(std::ostream& out, const RunReport& report) {
  std::map<std::string, std::vector<std::string>> models;
  for (const ModelReport& model : report.shared.models) {
    if (!model.why.empty()) models[model.why].push_back(model.model);
  }
  for (const auto& [why, names] : models) {
    const bool all = names.size() == report.shared.models.size();
    out << visible("not packed: " + short_message(why) +
                   (all ? "" : " (" + list_in_quotes(names) + ")"))
        << '\n';
  }
}

void print_memory(std::ostream& out, const RunReport& report) {
  Rows rows = {{"PSS", "anonymous", "threads", "memory of"}};
  const bool on_device = report.ep != "cpu";
  if (on_device) rows[0].insert(rows[0].begin(), "device");
  const auto add = [&](const Measurement& measurement, const std::string& kind) {
    rows.push_back({format_bytes(measurement.memory.pss),
                    format_bytes(measurement.memory.anonymous), std::to_string(measurement.threads),
                    describe(measurement, kind)});
    if (on_device) rows.back().insert(rows.back().begin(), format_bytes(measurement.memory.device));
  };
  add(report.shared, report.tier);
  if (report.baseline) add(*report.baseline, "plain");
  print_table(out, rows, on_device ? 4 : 3);
}

void print_parity(std::ostream& out, const RunReport& report) {
  Rows rows = {{"difference", "relative", "noise", "bits", "output"}};
  for (const ParityRow& row : report.parity) {
    const bool is_number = std::isfinite(row.max_abs_diff);
    rows.push_back({is_number ? fmt::format("{:.3g}", row.max_abs_diff) : "no number",
                    is_number ? fmt::format("{:.1e}", row.max_rel_diff) : "-",
                    row.noise_abs_diff ? fmt::format("{:.3g}", *row.noise_abs_diff) : "-",
                    row.bit_equal ? "equal" : "differ", row.model + ": " + row.output});
  }
  print_rows(out, std::move(rows), 3);
}

void print_saving(std::ostream& out, const char* kind, uint64_t ours, uint64_t plain) {
  out << fmt::format("{} {} instead of {}: {}\n", kind, format_bytes(ours), format_bytes(plain),
                     saving_of(ours, plain));
}

}  // namespace

std::string describe(const Measurement& measurement, const std::string& kind) {
  std::set<std::string> models, tasks;
  for (const SessionFigures& session : measurement.sessions) {
    models.insert(session.model);
    if (!session.task.empty()) tasks.insert(session.task);
  }
  std::string text = count_of(measurement.session_count, kind + " session") + " of " +
                     count_of(models.size(), "model");
  if (!tasks.empty()) text += ", " + count_of(tasks.size(), "task");
  return text;
}

std::string saving_of(uint64_t ours, uint64_t plain) {
  const uint64_t change = ours < plain ? plain - ours : ours - plain;
  return fmt::format(
      "{} {} ({:.0f} %)", format_bytes(change), ours <= plain ? "saved" : "added",
      100.0 * static_cast<double>(change) / static_cast<double>(std::max<uint64_t>(plain, 1)));
}

std::string tier_of(const Measurement& measurement) {
  std::string tier;
  for (const ModelReport& model : measurement.models) {
    if (!tier.empty() && tier != text_of(model.tier)) return "mixed";
    tier = text_of(model.tier);
  }
  return tier;
}

void print_report(std::ostream& out, const RunReport& report) {
  print_sessions(out, report);
  if (report.shared.cut_short || (report.baseline && report.baseline->cut_short))
    out << "some sessions had no time for all runs of --repeat: see --max-seconds\n";
  out << '\n';
  print_models(out, report);
  print_why(out, report);
  print_packed_by(out, report);
  out << "ONNX Runtime " << report.onnxruntime.version << ", "
      << report.onnxruntime.library.string() << '\n';
  out << '\n';
  if (!report.parity.empty()) {
    print_parity(out, report);
    out << '\n';
  }
  print_memory(out, report);
  if (report.shared.parts) print_parts(out, report);
  if (!report.baseline) return;
  out << '\n';
  const MemoryFigures& ours = report.shared.memory;
  const MemoryFigures& plain = report.baseline->memory;
  print_saving(out, "PSS", ours.pss, plain.pss);
  if (plain.device > 0) print_saving(out, "device", ours.device, plain.device);
}

nlohmann::ordered_json to_json(const RunReport& report) {
  nlohmann::ordered_json json = {
      {"schema", "wshare.run/1"},
      {"ep", report.ep},
      {"tier", report.tier},
      {"onnxruntime",
       {{"version", report.onnxruntime.version}, {"path", report.onnxruntime.library.string()}}}};
  json.update(to_json(report.shared));
  json["memory"] = memory_json(report);
  json["baseline"] = report.baseline ? to_json(*report.baseline) : nlohmann::ordered_json();
  if (report.baseline) json["baseline"].erase("models");  // plain sessions share nothing
  json["parity"] = to_json(report.parity);
  json["exceeded"] = report.exceeded;
  json["ok"] = report.exceeded.empty();
  return json;
}

}  // namespace wshare
