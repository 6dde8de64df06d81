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
#include "wshare/remove.h"

namespace wshare {
namespace {

struct Arguments {
  std::string bundle;
  std::vector<std::string> names;
  RemoveOptions options;
};

nlohmann::ordered_json to_json(const RemoveReport& report, const Arguments& arguments,
                               double seconds) {
  nlohmann::ordered_json json;
  json["schema"] = "wshare.remove/1";
  json["bundle"] = arguments.bundle;
  json["removed"] = report.removed;
  json["files"] = nlohmann::ordered_json::array();
  for (const RemovedFile& file : report.files)
    json["files"].push_back({{"file", file.file}, {"bytes", file.bytes}});
  json["compacted"] = arguments.options.compact;
  json["bytes_before"] = report.bytes_before;
  json["bytes_out"] = report.bytes_out;
  json["unused_bytes"] = report.unused_bytes;
  json["seconds"] = seconds;
  return json;
}

void print_report(std::ostream& out, const RemoveReport& report, bool dry_run) {
  Rows rows;
  for (const RemovedFile& file : report.files)
    rows.push_back({format_bytes(file.bytes), file.file});
  if (!rows.empty()) out << (dry_run ? "would delete\n" : "deleted\n");
  print_rows(out, std::move(rows), 1);
  if (report.unused_bytes > 0) {
    out << fmt::format("{} in blobs that stay {} used by no model any more; --compact frees them\n",
                       format_bytes(report.unused_bytes), dry_run ? "would be" : "are");
  }
  if (report.files.empty() && report.bytes_out == report.bytes_before)
    out << "there is nothing to compact\n";
  out << fmt::format("{}{} -> {}\n", dry_run ? "would be " : "", format_bytes(report.bytes_before),
                     format_bytes(report.bytes_out));
}

int run_remove(const Arguments& arguments, Context& context) {
  RemoveOptions options = arguments.options;
  context.apply_to(options);
  const Stopwatch stopwatch;
  const RemoveReport report = remove_models(arguments.bundle, arguments.names, options);
  const double seconds = stopwatch.seconds();
  say_kept(context.err, report.kept);
  if (context.json) {
    print_json(context.out, to_json(report, arguments, seconds));
  } else {
    print_report(context.out, report, options.dry_run);
  }
  return 0;
}

}  // namespace

void add_remove(CLI::App& app, Context& context, Action& action) {
  const auto arguments = std::make_shared<Arguments>();
  app.add_option("BUNDLE", arguments->bundle, "The bundle to take from")->required();
  CLI::Option* names = app.add_option("NAME", arguments->names, "Models or tasks of the bundle");
  app.add_flag("--compact", arguments->options.compact,
               "Rewrite what is left as a new bundle would have it; also without NAME");
  add_dry_run_option(app, arguments->options.dry_run);
  add_wait_option(app, arguments->options.wait);
  app.callback([=, &context, &action] {
    if (!arguments->options.compact && names->count() == 0) throw CLI::RequiredError("NAME");
    action = [=, &context] { return run_remove(*arguments, context); };
  });
}

}  // namespace wshare
