#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>

#include "archive_report.h"
#include "cli.h"
#include "util/stopwatch.h"
#include "write_options.h"
#include "wshare/archive.h"

namespace wshare {
namespace {

struct Arguments {
  std::string bundle;
  std::vector<std::string> names;
  ArchiveOptions options;
};

nlohmann::ordered_json to_json(const ArchiveReport& report, const Arguments& arguments,
                               double seconds) {
  nlohmann::ordered_json json;
  json["schema"] = "wshare.archive/1";
  json["bundle"] = arguments.bundle;
  json["models"] = to_json(report.models);
  json["left"] = nlohmann::ordered_json::array();
  for (const LeftModel& model : report.left)
    json["left"].push_back({{"name", model.name}, {"why", model.why}});
  json["bytes_before"] = report.bytes_before;
  json["bytes_out"] = report.bytes_out;
  json["unused_bytes"] = report.unused_bytes;
  json["seconds"] = seconds;
  return json;
}

int run_archive(const Arguments& arguments, Context& context) {
  ArchiveOptions options = arguments.options;
  context.apply_to(options);
  const Stopwatch stopwatch;
  const ArchiveReport report = archive(arguments.bundle, arguments.names, options);
  const double seconds = stopwatch.seconds();
  if (context.json) {
    print_json(context.out, to_json(report, arguments, seconds));
  } else {
    print_archived(context.out, report, options.dry_run);
  }
  return 0;
}

}  // namespace

void add_archive(CLI::App& app, Context& context, Action& action) {
  const auto arguments = std::make_shared<Arguments>();
  app.add_option("BUNDLE", arguments->bundle, "The bundle to archive models of")->required();
  app.add_option("NAME", arguments->names,
                 "Models of the bundle; without any, all that are much smaller so");
  app.add_option("--base", arguments->options.base,
                 "The model that all are computed from; else the cheapest of each");
  app.add_flag("--chain", arguments->options.chain,
               "Also compute archived models from each other, as checkpoints of one training");
  add_dry_run_option(app, arguments->options.dry_run);
  add_wait_option(app, arguments->options.wait);
  app.callback([=, &context, &action] {
    action = [=, &context] { return run_archive(*arguments, context); };
  });
}

}  // namespace wshare
