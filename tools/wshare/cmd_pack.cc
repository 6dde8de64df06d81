#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>

#include "cli.h"
#include "pack/optimise.h"
#include "run/openers.h"
#include "runtime/host_runtime.h"
#include "runtime_option.h"
#include "util/stopwatch.h"
#include "util/text.h"
#include "util/visible.h"
#include "write_options.h"
#include "wshare/pack.h"

namespace wshare {
namespace {

struct Arguments {
  std::string bundle;
  std::string level = "all";
  PackOptions options;
};

// Of all models: what plain sessions, one of each, pack for themselves.
uint64_t packed_bytes(const PackReport& report) {
  uint64_t bytes = 0;
  for (const PackedModel& model : report.models) bytes += model.packed_bytes;
  return bytes;
}

nlohmann::ordered_json to_json(const PackReport& report, const Arguments& arguments,
                               double seconds) {
  nlohmann::ordered_json json;
  const auto if_any = [](const std::string& text) {
    return text.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(text);
  };
  json["schema"] = "wshare.pack/1";
  json["bundle"] = arguments.bundle;
  json["onnxruntime"] = report.onnxruntime;
  json["cpu"] = report.cpu;
  json["optimization"] = arguments.level;
  json["models"] = nlohmann::ordered_json::array();
  for (const PackedModel& model : report.models) {
    json["models"].push_back({{"name", model.model},
                              {"file", if_any(model.file)},
                              {"file_bytes", model.file_bytes},
                              {"packed_bytes", model.packed_bytes},
                              {"raw_bytes", model.raw_bytes},
                              {"why_not", if_any(model.why_not)},
                              {"untried", if_any(model.untried)}});
  }
  json["distinct_packed_bytes"] = report.distinct_packed_bytes;
  json["bytes_before"] = report.bytes_before;
  json["bytes_out"] = report.bytes_out;
  json["seconds"] = seconds;
  return json;
}

void print_report(std::ostream& out, const PackReport& report, bool dry_run) {
  std::vector<std::vector<std::string>> rows = {{"packed", "weights", "model"}};
  for (const PackedModel& model : report.models) {
    const bool has_pack = !model.file.empty();
    rows.push_back({has_pack ? format_bytes(model.packed_bytes) : "-",
                    has_pack ? format_bytes(model.raw_bytes) : "-", model.model});
    if (!model.why_not.empty()) rows.back().back() += ": not packed: " + model.why_not;
  }
  print_table(out, rows, 2);
  out << fmt::format("for ONNX Runtime {} on {}\n", visible(report.onnxruntime),
                     visible(report.cpu));
  out << fmt::format("in memory {} once, instead of {} in one plain session of each\n",
                     format_bytes(report.distinct_packed_bytes),
                     format_bytes(packed_bytes(report)));
  out << fmt::format("{}{} -> {} on disk\n", dry_run ? "would be " : "",
                     format_bytes(report.bytes_before), format_bytes(report.bytes_out));
}

int run_pack(const Arguments& arguments, Context& context) {
  host_runtime();  // or why there is none
  PackOptions options = arguments.options;
  options.optimization = parse_optimization(arguments.level);
  context.apply_to(options);
  options.program = context.program;
  if (options.program.empty())
    silence_log();  // what ONNX Runtime logs as an error is in the report
  const Stopwatch stopwatch;
  const PackReport report = pack(arguments.bundle, options);
  const double seconds = stopwatch.seconds();
  for (const PackedModel& model : report.models) {
    if (model.untried.empty() || context.quiet) continue;
    print_message(
        context.err,
        in_quotes(model.model) + ": its pack was not run beside a plain session: " + model.untried);
  }
  if (context.json) {
    print_json(context.out, to_json(report, arguments, seconds));
  } else {
    print_report(context.out, report, options.dry_run);
  }
  return 0;
}

}  // namespace

void add_pack(CLI::App& app, Context& context, Action& action) {
  const auto arguments = std::make_shared<Arguments>();
  app.add_option("BUNDLE", arguments->bundle, "The bundle to make packs for")->required();
  app.add_option("--opt", arguments->level, "Graph optimisations that the packs have in them")
      ->check(CLI::IsMember({"basic", "extended", "all"}))
      ->capture_default_str();
  app.add_option("--model", arguments->options.models, "Pack this model only; may be repeated")
      ->allow_extra_args(false);
  add_onnxruntime_option(app);
  add_dry_run_option(app, arguments->options.dry_run);
  add_wait_option(app, arguments->options.wait);
  app.callback(
      [=, &context, &action] { action = [=, &context] { return run_pack(*arguments, context); }; });
}

}  // namespace wshare
