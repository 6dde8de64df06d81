#include "run_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <span>

#include "cli.h"
#include "run/job_json.h"
#include "util/name_list.h"
#include "util/text.h"
#include "util/visible.h"

namespace wshare {
namespace {

using Rows = std::vector<std::vector<std::string>>;

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

std::string count_of(size_t count, const std::string& noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

// "8 shared sessions of 8 models"
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

void print_sessions(std::ostream& out, const RunReport& report) {
  Rows rows = {
      {"sessions", "create ms", "load", "optimise", "pack", "first", "run", "spread", "model"}};
  const size_t numbers = rows[0].size() - 1;
  Figures rest = report.shared.sessions;
  while (!rest.empty()) {
    const Figures group = first_group(rest);
    rest = rest.subspan(group.size());
    rows.push_back(describe_times(group));
    const bool is_over_base = !group[0].task.empty() && group[0].shares_session;
    rows.back().push_back(group[0].name() + (is_over_base ? " (over " + group[0].model + ")" : ""));
    if (!report.baseline) continue;
    const Figures plain = find_plain(report.baseline->sessions, group[0].name());
    if (plain.empty()) continue;
    rows.push_back(describe_times(plain));
    rows.back().push_back(group[0].name() + " (plain)");
  }
  print_table(out, rows, numbers);
}

// "3 tensors, 12.0 MiB (folded by optimisers); packed forms". Small tensors are left out: they are
// in every model and cost next to nothing.
std::string describe_left(const ModelReport& model) {
  std::string text;
  for (const LeftTensors& group : model.left) {
    if (group.reason == LeftReason::kSmall) continue;
    text +=
        fmt::format("{}{}, {} ({})", text.empty() ? "" : "; ", count_of(group.tensors, "tensor"),
                    format_bytes(group.bytes), for_people(group.reason));
  }
  if (model.packed_shared || model.tier == Tier::kCompact) return text;
  return text + (text.empty() ? "" : "; ") + "packed forms (it cannot share them)";
}

void print_models(std::ostream& out, const RunReport& report) {
  Rows rows = {{"shared", report.ep == "cpu" ? "tier" : "own", "model"}};
  bool any_left = false;
  for (const ModelReport& model : report.shared.models) {
    const std::string second =
        model.device ? format_bytes(model.device->own_bytes) : text_of(model.tier);
    rows.push_back({format_bytes(model.shared_bytes), second, model.model, describe_left(model)});
    any_left = any_left || !rows.back().back().empty();
  }
  if (any_left) rows[0].push_back("left to ONNX Runtime");
  print_table(out, rows, report.ep == "cpu" ? 1 : 2);
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
    out << visible("not packed: " + why + (all ? "" : " (" + list_in_quotes(names) + ")")) << '\n';
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
  print_table(out, rows, 3);
}

void print_saving(std::ostream& out, const char* kind, uint64_t ours, uint64_t plain) {
  const uint64_t change = ours < plain ? plain - ours : ours - plain;
  out << fmt::format("{} {} instead of {}: {} {} ({:.0f} %)\n", kind, format_bytes(ours),
                     format_bytes(plain), format_bytes(change), ours <= plain ? "saved" : "added",
                     100.0 * static_cast<double>(change) / static_cast<double>(plain));
}

// What would make the parts less, each with its gain; empty: nothing that is worth it.
struct Advice {
  std::string pack, arena;
};

Advice advise(const RunReport& report, const MemoryParts& parts) {
  const uint64_t worth_it = std::max(uint64_t{1} << 20, report.shared.memory.pss / 50);
  const auto less = [](uint64_t bytes) { return "about " + format_bytes(bytes) + " less"; };
  Advice advice;
  if (tier_of(report.shared) != text_of(Tier::kPacked)) {
    const std::string pack = "over a pack ('wshare pack'): ";
    if (parts.pack_saves >= worth_it) {
      advice.pack = pack + less(parts.pack_saves);
    } else if (parts.copies >= worth_it) {
      advice.pack = pack + "one copy, also for further sessions";
    }
  }
  if (parts.arena_saves >= worth_it)
    advice.arena = "with --shared-arena: " + less(parts.arena_saves);
  return advice;
}

void print_parts(std::ostream& out, const RunReport& report) {
  if (!report.shared.parts) return;
  const MemoryParts& parts = *report.shared.parts;
  const Advice advice = advise(report, parts);
  const bool any = !advice.pack.empty() || !advice.arena.empty();
  Rows rows = {
      {"PSS", "of it"},
      {format_bytes(parts.weights), "weights, one copy"},
      {format_bytes(parts.copies), "copies of weights, of each session"},
      {format_bytes(parts.freed), "freed by ONNX Runtime, kept by malloc"},
      {format_bytes(parts.activations), "activations, kept for the next run"},
      {format_bytes(parts.other), "graphs, ONNX Runtime, inputs"},
  };
  if (any) {
    rows[0].push_back("what makes it less");
    for (size_t i = 1; i < rows.size(); ++i) rows[i].push_back("");
    rows[2].back() = advice.pack;
    rows[4].back() = advice.arena;
  }
  out << '\n';
  print_table(out, rows, 1);
  if (!any) out << "nothing more to share\n";
}

}  // namespace

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
  print_parts(out, report);
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
  json["baseline"] = report.baseline ? to_json(*report.baseline) : nlohmann::ordered_json();
  if (report.baseline) json["baseline"].erase("models");  // plain sessions share nothing
  json["parity"] = to_json(report.parity);
  json["exceeded"] = report.exceeded;
  json["ok"] = report.exceeded.empty();
  return json;
}

}  // namespace wshare
