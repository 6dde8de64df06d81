#include <CLI/CLI.hpp>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>
#include <type_traits>

#include "cli.h"
#include "input_options.h"
#include "pack/optimise.h"
#include "pack_report.h"
#include "rows.h"
#include "run/openers.h"
#include "runtime/host_runtime.h"
#include "runtime_option.h"
#include "short_message.h"
#include "util/name_list.h"
#include "util/stopwatch.h"
#include "util/text.h"
#include "write_options.h"
#include "wshare/pack.h"

namespace wshare {
namespace {

struct Arguments {
  std::string bundle;
  std::string level = "all";
  bool prune = false;
  bool summary = false;
  InputOptions inputs;
  PackOptions options;
};

// Prints what `report` says, which took so long.
template <typename Report>
void print(const Report& report, const Arguments& arguments, double seconds, Context& context) {
  if constexpr (std::is_same_v<Report, PackReport>) {
    if (!context.json && arguments.summary)
      return print_summary(context.out, report, arguments.options.dry_run);
  }
  if (!context.json) return print_report(context.out, report, arguments.options.dry_run);
  nlohmann::ordered_json json;
  json["schema"] = "wshare.pack/1";
  json["bundle"] = arguments.bundle;
  if (!arguments.prune) json["optimization"] = arguments.level;
  add_to(json, report);
  json["seconds"] = seconds;
  print_json(context.out, json);
}

// Says what of the packs was not compared, one line for each reason; as JSON it is whole.
void warn(const PackReport& report, Context& context) {
  constexpr size_t kColumns = 120;  // of what ONNX Runtime says, without the hint behind it
  std::map<std::string, std::vector<std::string>> untried;
  for (const PackedModel& model : report.models) {
    if (!model.untried.empty()) {
      const std::string why = short_message(model.untried.substr(0, model.untried.rfind("; ")));
      untried[fit(why, kColumns)].push_back(model.model);
    }
    if (model.random_outputs.empty()) continue;
    print_message(context.err,
                  in_quotes(model.model) +
                      ": not compared, since a plain session gives another at each run: output " +
                      list_in_quotes(model.random_outputs));
  }
  for (const auto& [why, models] : untried)
    print_message(context.err, list_in_quotes(models) + ": not run beside a plain session: " + why +
                                   " (--shape, --value, --inputs)");
}

int run_pack(const Arguments& arguments, Context& context) {
  PackOptions options = arguments.options;
  options.optimization = parse_optimization(arguments.level);
  options.inputs = arguments.inputs.folder;
  options.shapes = arguments.inputs.shapes;
  options.values = arguments.inputs.values;
  context.apply_to(options);
  options.program = context.program;
  if (options.program.empty())
    silence_log();  // what ONNX Runtime logs as an error is in the report
  const Stopwatch stopwatch;
  const PackReport report = pack(arguments.bundle, options);
  const double seconds = stopwatch.seconds();
  if (!context.quiet) warn(report, context);
  print(report, arguments, seconds, context);
  return 0;
}

int run_prune(const Arguments& arguments, Context& context) {
  const PackOptions& given = arguments.options;
  const PruneOptions options{given.models, given.dry_run, context.threads, given.wait};
  const Stopwatch stopwatch;
  const PruneReport report = prune_packs(arguments.bundle, options);
  print(report, arguments, stopwatch.seconds(), context);
  return 0;
}

}  // namespace

void add_pack(CLI::App& app, Context& context, Action& action) {
  const auto arguments = std::make_shared<Arguments>();
  app.add_option("BUNDLE", arguments->bundle, "The bundle to make packs for")->required();
  CLI::Option* const level =
      app.add_option("--opt", arguments->level, "Graph optimisations that the packs have in them")
          ->check(CLI::IsMember({"basic", "extended", "all"}))
          ->capture_default_str();
  app.add_option("--model", arguments->options.models, "Pack this model only; may be repeated")
      ->allow_extra_args(false);
  add_input_options(app, arguments->inputs);
  app.add_flag("--prune", arguments->prune,
               "Make none; drop packs that this ONNX Runtime on this CPU has no use for")
      ->excludes(level);
  app.add_flag("--summary", arguments->summary, "Print three lines for a ticket, no table");
  add_onnxruntime_option(app);
  add_dry_run_option(app, arguments->options.dry_run);
  add_wait_option(app, arguments->options.wait);
  app.callback([=, &context, &action] {
    check_together(arguments->inputs);
    const InputOptions& inputs = arguments->inputs;
    const bool has_inputs =
        !inputs.folder.empty() || !inputs.shapes.empty() || !inputs.values.empty();
    if (arguments->prune && has_inputs)
      throw CLI::ValidationError("--prune: makes no packs, so it tries none on inputs");
    action = [=, &context] {
      host_runtime();  // or why there is none
      return arguments->prune ? run_prune(*arguments, context) : run_pack(*arguments, context);
    };
  });
}

}  // namespace wshare
