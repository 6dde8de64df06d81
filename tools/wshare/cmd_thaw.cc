#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>

#include "cli.h"
#include "rows.h"
#include "util/stopwatch.h"
#include "util/text.h"
#include "write_options.h"
#include "wshare/thaw.h"

namespace wshare {
namespace {

struct Arguments {
  std::string bundle;
  std::vector<std::string> names;
  ThawOptions options;
};

nlohmann::ordered_json to_json(const ThawReport& report, const Arguments& arguments,
                               double seconds) {
  nlohmann::ordered_json json;
  json["schema"] = "wshare.thaw/1";
  json["bundle"] = arguments.bundle;
  json["models"] = nlohmann::ordered_json::array();
  for (const ThawedModel& model : report.models) {
    json["models"].push_back(
        {{"name", model.name}, {"bytes", model.bytes}, {"shared_bytes", model.shared_bytes}});
  }
  json["bytes_before"] = report.bytes_before;
  json["bytes_out"] = report.bytes_out;
  json["unused_bytes"] = report.unused_bytes;
  json["seconds"] = seconds;
  return json;
}

void print_report(std::ostream& out, const ThawReport& report, bool dry_run) {
  Rows rows = {{"bytes", "shared", "model"}};
  for (const ThawedModel& model : report.models)
    rows.push_back({format_bytes(model.bytes), format_bytes(model.shared_bytes), model.name});
  print_rows(out, std::move(rows), 2);
  if (report.unused_bytes > 0) {
    out << fmt::format(
        "{} in blobs that stay {} needed by nothing any more; remove --compact frees them\n",
        format_bytes(report.unused_bytes), dry_run ? "would be" : "are");
  }
  out << fmt::format("{}{} -> {}\n", dry_run ? "would be " : "", format_bytes(report.bytes_before),
                     format_bytes(report.bytes_out));
}

int run_thaw(const Arguments& arguments, Context& context) {
  ThawOptions options = arguments.options;
  context.apply_to(options);
  const Stopwatch stopwatch;
  const ThawReport report = thaw(arguments.bundle, arguments.names, options);
  const double seconds = stopwatch.seconds();
  if (context.json) {
    print_json(context.out, to_json(report, arguments, seconds));
  } else {
    print_report(context.out, report, options.dry_run);
  }
  return 0;
}

}  // namespace

void add_thaw(CLI::App& app, Context& context, Action& action) {
  const auto arguments = std::make_shared<Arguments>();
  app.add_option("BUNDLE", arguments->bundle, "The bundle that has them")->required();
  app.add_option("NAME", arguments->names, "Archived models of the bundle")->required();
  add_dry_run_option(app, arguments->options.dry_run);
  add_wait_option(app, arguments->options.wait);
  app.callback(
      [=, &context, &action] { action = [=, &context] { return run_thaw(*arguments, context); }; });
}

}  // namespace wshare
