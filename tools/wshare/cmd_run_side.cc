#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>

#include "cli.h"
#include "run/arguments.h"
#include "run_options.h"
#include "run_report.h"
#include "run_side.h"

namespace wshare {
namespace {

struct Arguments {
  SideArguments side;
  InputArguments inputs;
};

int run_side(const Arguments& arguments, Context& context) {
  const SideArguments& side = arguments.side;
  std::vector<NamedModel> models;
  for (size_t i = 0; i < side.names.size(); ++i) {
    const std::string& task_of = side.tasks_of.at(i);
    models.push_back({side.names[i], side.files.at(i), task_of.substr(1), task_of.starts_with('+'),
                      side.bases.at(i).substr(1)});
  }
  MeasureOptions options = measure_options(arguments.inputs);
  if (side.progress) {
    options.progress = [&](const std::string& what) {
      context.err << kProgressMark << what << std::endl;
    };
  }
  if (!side.bundle.empty()) set_up_environment(environment_options(arguments.inputs));
  silence_log();
  options.device = open_device(side.device);
  Measurement measurement;
  if (side.bundle.empty()) {
    measurement = measure(models, plain_opener(options.device, options.threads), options);
  } else {
    Bundle bundle = Bundle::open(side.bundle);
    options.shared_on_device = [&bundle] { return bundle.report().device_bytes(); };
    const Opener open =
        shared_opener(bundle, parse_tier(side.tier), options.device, copies_of(side.device));
    measurement = measure(models, open, options);
    measurement.models = bundle.report().models;
  }
  print_json(context.out, to_json(measurement));
  return 0;
}

}  // namespace

// One side of `wshare run` (run_side.h). Not for users, so it is hidden from --help.
void add_run_side(CLI::App& app, Context& context, Action& action) {
  const auto arguments = std::make_shared<Arguments>();
  app.group("");
  app.add_option("--bundle", arguments->side.bundle, "Of shared sessions; else they are plain");
  app.add_option("--tier", arguments->side.tier, "Of shared sessions");
  // Without extra arguments, CLI11 takes a name such as "[x]" as it is, not as a list.
  app.add_option("--name", arguments->side.names, "Of a model")->allow_extra_args(false);
  app.add_option("--file", arguments->side.files, "Of the model at the same place")
      ->allow_extra_args(false);
  app.add_option("--task-of", arguments->side.tasks_of,
                 "The model that runs a task, behind a '+' where the session is shared, else a '='")
      ->allow_extra_args(false);
  app.add_option("--base", arguments->side.bases,
                 "The base of a task, behind a '='; '=' alone for none")
      ->allow_extra_args(false);
  app.add_flag("--progress", arguments->side.progress, "Say what is done next");
  add_device_options(app, arguments->side.device);
  add_input_options(app, arguments->inputs);
  app.callback(
      [=, &context, &action] { action = [=, &context] { return run_side(*arguments, context); }; });
}

}  // namespace wshare
