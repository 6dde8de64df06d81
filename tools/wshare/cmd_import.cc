#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>

#include "cli.h"
#include "format/oci.h"
#include "rows.h"
#include "util/stopwatch.h"
#include "util/text.h"
#include "write_options.h"
#include "wshare/import.h"

namespace wshare {
namespace {

struct Arguments {
  std::string kind, source, bundle;
  std::string links = "hard";
  ImportOciOptions options;
};

nlohmann::ordered_json to_json(const ImportOciReport& report, const std::string& bundle,
                               double seconds) {
  nlohmann::ordered_json json;
  json["schema"] = "wshare.import/1";
  json["bundle"] = bundle;
  json["tag"] = report.tag;
  json["digest"] = report.digest;
  json["bytes"] = report.bytes;
  json["new_bytes"] = report.new_bytes;
  json["linked_bytes"] = report.linked_bytes;
  json["updated"] = report.updated;
  json["added"] = report.added;
  json["removed"] = report.removed;
  json["changed"] = report.changed;
  json["seconds"] = seconds;
  return json;
}

void print_report(std::ostream& out, const ImportOciReport& report, const std::string& bundle,
                  bool dry_run) {
  print_table(out, {{report.digest, bundle}}, 0);
  Rows rows;
  for (const std::string& name : report.added) rows.push_back({"added", name});
  for (const std::string& name : report.changed) rows.push_back({"changed", name});
  for (const std::string& name : report.removed) rows.push_back({"removed", name});
  print_rows(out, std::move(rows), 0);
  if (report.new_bytes == 0) {
    out << (report.updated ? "nothing is new, some files are gone\n" : "there is nothing new\n");
    return;
  }
  out << fmt::format("{}{}, {} of it new\n", dry_run ? "would be " : "", format_bytes(report.bytes),
                     format_bytes(report.new_bytes));
}

int run_import(const Arguments& arguments, Context& context) {
  const oci::Reference source = oci::parse_reference(arguments.source);
  ImportOciOptions options = arguments.options;
  options.copy = arguments.links == "copy";
  context.apply_to(options);
  const Stopwatch stopwatch;
  const ImportOciReport report = import_oci(source.layout, source.tag, arguments.bundle, options);
  const double seconds = stopwatch.seconds();
  say_kept(context.err, report.kept);
  if (context.json) {
    print_json(context.out, to_json(report, arguments.bundle, seconds));
  } else {
    print_report(context.out, report, arguments.bundle, options.dry_run);
  }
  return 0;
}

}  // namespace

void add_import(CLI::App& app, Context& context, Action& action) {
  const auto arguments = std::make_shared<Arguments>();
  app.add_option("KIND", arguments->kind, "What is to be read")
      ->required()
      ->check(CLI::IsMember({"oci"}));
  app.add_option("LAYOUT", arguments->source,
                 "The OCI image layout, and the tag in it (default: the only one, or latest)")
      ->required();
  app.add_option("-o,--output", arguments->bundle, "The bundle, new or to be updated")->required();
  app.add_option("--links", arguments->links,
                 "How the bundle gets the layout's files: hard links need no room")
      ->check(CLI::IsMember({"hard", "copy"}))
      ->capture_default_str();
  add_dry_run_option(app, arguments->options.dry_run);
  add_wait_option(app, arguments->options.wait);
  app.callback([=, &context, &action] {
    action = [=, &context] { return run_import(*arguments, context); };
  });
}

}  // namespace wshare
