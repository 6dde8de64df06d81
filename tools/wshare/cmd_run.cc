#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli.h"
#include "run/arguments.h"
#include "run_options.h"
#include "run_originals.h"
#include "run_report.h"
#include "run_side.h"
#include "util/temporary_folder.h"
#include "wshare/error.h"

namespace wshare {
namespace {

struct Arguments {
  std::string bundle;
  std::vector<std::string> models, tasks;
  DeviceArguments device;
  std::string tier = "auto";
  std::vector<std::string> against;
  bool baseline = false;
  InputArguments inputs;
  LimitArguments limits;
};

int run(const Arguments& arguments, Context& context) {
  const Tier tier = parse_tier(arguments.tier);
  const std::vector<NamedModel> models =
      find_models(arguments.bundle, arguments.models, arguments.tasks);
  const Originals originals = read_originals(arguments.against);
  check_originals(originals, models);
  RunReport report;
  report.ep = arguments.device.ep;
  SideResult shared = measure_shared(arguments.bundle, arguments.tier, arguments.device, models,
                                     arguments.inputs, context);
  if (shared.exit_code != 0) return shared.exit_code;
  report.shared = std::move(shared.measurement);
  report.tier = tier_of(report.shared);
  if (arguments.baseline) {
    const TemporaryFolder folder;
    SideResult plain = measure_plain(
        arguments.device, find_plain(arguments.bundle, models, originals, folder.path, context),
        arguments.inputs, context);
    if (plain.exit_code != 0) return plain.exit_code;
    report.baseline = std::move(plain.measurement);
  }
  // Last: sessions in this process would share pages with the children and so lower their PSS.
  report.parity = compare_with_originals(arguments.bundle, tier, arguments.device, models,
                                         originals, arguments.inputs, context.progress);
  report.exceeded = find_exceeded(read_limits(arguments.limits), report.shared, report.parity);
  if (context.json) print_json(context.out, to_json(report));
  if (!context.json) print_report(context.out, report);
  for (const std::string& line : report.exceeded) context.err << "wshare: " << line << '\n';
  return report.exceeded.empty() ? 0 : 1;
}

// What cannot be read is a mistake on the command line: found while parsing, exit code 2.
void check_syntax(const Arguments& arguments) {
  try {
    check_syntax(arguments.device);
    measure_options(arguments.inputs);
    read_limits(arguments.limits);
    read_originals(arguments.against);
  } catch (const Error& error) {
    throw CLI::ValidationError(error.what());
  }
  if (arguments.limits.abs_diff && arguments.against.empty())
    throw CLI::ValidationError("--max-abs-diff: needs --against, or there is nothing to compare");
}

}  // namespace

void add_run(CLI::App& app, Context& context, Action& action) {
  const auto arguments = std::make_shared<Arguments>();
  app.add_option("BUNDLE", arguments->bundle, "The bundle")->required();
  app.add_option("--model", arguments->models, "Run this model only; may be repeated")
      ->allow_extra_args(false);
  app.add_option("--task", arguments->tasks,
                 "Run this task only, over the session of its base; may be repeated")
      ->allow_extra_args(false);
  add_device_options(app, arguments->device);
  app.add_option("--tier", arguments->tier, "How weights are shared")
      ->check(CLI::IsMember({"auto", "packed", "shared", "compact"}))
      ->capture_default_str();
  add_input_options(app, arguments->inputs);
  app.add_option("--against", arguments->against,
                 "NAME=original.onnx: compare outputs with a plain session")
      ->allow_extra_args(false);
  app.add_flag("--baseline", arguments->baseline,
               "Measure as many plain sessions on the originals beside");
  add_limit_options(app, arguments->limits);
  app.callback([=, &context, &action] {
    check_syntax(*arguments);
    action = [=, &context] { return run(*arguments, context); };
  });
}

}  // namespace wshare
