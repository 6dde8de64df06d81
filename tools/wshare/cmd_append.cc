#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>

#include "archive_report.h"
#include "bundled_models.h"
#include "cli.h"
#include "extract_report.h"
#include "given_models.h"
#include "util/stopwatch.h"
#include "util/text.h"
#include "write_options.h"
#include "wshare/append.h"
#include "wshare/archive.h"

namespace wshare {
namespace {

struct Arguments {
  std::string bundle;
  ModelArguments models;
  AppendOptions options;
  bool archive = false;
};

// Archives what was appended, computed from options.base or the cheapest model.
ArchiveReport archive_new(const Arguments& arguments, AppendReport& report, Context& context) {
  ArchiveOptions options;
  options.base = arguments.options.base;
  options.wait = arguments.options.wait;
  context.apply_to(options);
  std::vector<std::string> names;
  for (DedupedModel& model : report.models) {
    names.push_back(model.name);
    model.archived = true;
  }
  ArchiveReport archived = archive(arguments.bundle, names, options);
  report.bytes_out = archived.bytes_out;
  return archived;
}

// Where models are archived the bundle may have become smaller: some of its bytes have moved.
uint64_t added_bytes(const AppendReport& report) {
  return std::max(report.bytes_out, report.bytes_before) - report.bytes_before;
}

nlohmann::ordered_json to_json(const AppendReport& report, const std::string& bundle,
                               double seconds) {
  nlohmann::ordered_json json;
  json["schema"] = "wshare.append/1";
  json["bundle"] = bundle;
  json["models"] = to_json(report.models);
  json["base"] =
      report.base.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(report.base);
  json["new_base"] = report.new_base;
  json["tasks"] = to_json(report.tasks);
  json["bytes_in"] = report.bytes_in;
  json["bytes_added"] = added_bytes(report);
  json["bytes_out"] = report.bytes_out;
  json["tensors"] = report.tensors;
  json["distinct_tensors"] = report.distinct_tensors;
  json["left_inline"] = to_json(report.left_inline);
  if (!report.transposed.empty()) json["transposed"] = to_json(report.transposed);
  json["seconds"] = seconds;
  return json;
}

void print_report(std::ostream& out, const AppendReport& report, bool dry_run) {
  if (!report.models.empty()) print_models(out, report.models, report.left_inline);
  print_pairs(out, report.transposed);
  const auto shares = [](const DedupedModel& model) { return model.shared_bytes > 0; };
  if (report.tensors > 0 && std::none_of(report.models.begin(), report.models.end(), shares))
    out << "nothing is shared: the bundle had none of these tensors\n";
  if (!report.tasks.empty()) print_tasks(out, report.tasks);
  if (report.new_base) {
    out << fmt::format("the base {} gets more inputs\n", in_quotes(report.base));
  }
  out << fmt::format("{}{} -> {} added, the bundle {} {}\n", dry_run ? "would be " : "",
                     format_bytes(report.bytes_in), format_bytes(added_bytes(report)),
                     dry_run ? "then has" : "has", format_bytes(report.bytes_out));
}

int run_append(const Arguments& arguments, Context& context) {
  AppendOptions options = arguments.options;
  context.apply_to(options);
  const Stopwatch stopwatch;
  if (arguments.archive) {
    options.as_models = true;
    options.base.clear();
  }
  AppendReport report = append(arguments.bundle, given_models(arguments.models, context), options);
  ArchiveReport archived;
  if (arguments.archive) archived = archive_new(arguments, report, context);
  const double seconds = stopwatch.seconds();
  if (!context.quiet) {
    for (const std::string& why : report.no_tasks)
      print_message(context.err, why + "; it becomes a model of the bundle");
  }
  if (context.json) {
    print_json(context.out, to_json(report, arguments.bundle, seconds));
  } else {
    print_report(context.out, report, options.dry_run);
    if (arguments.archive) print_archived(context.out, archived, false);
  }
  return 0;
}

}  // namespace

void add_append(CLI::App& app, Context& context, Action& action) {
  const auto arguments = std::make_shared<Arguments>();
  app.add_option("BUNDLE", arguments->bundle, "The bundle to add to")->required();
  add_models(app, "MODEL", arguments->models);
  CLI::Option* base = app.add_option(
      "--base", arguments->options.base,
      "Model of the bundle that the new ones are tasks of; else that of its tasks. With "
      "--archive what they are computed from");
  app.add_flag("--as-models", arguments->options.as_models,
               "Add models, also where the bundle has tasks")
      ->excludes(base);
  add_min_bytes_option(app, arguments->options.min_bytes);
  add_keep_identity_option(app, arguments->options.keep_identity);
  add_split_option(app, arguments->options.split_uses);
  add_tie_options(app, arguments->options.tie_transposed, arguments->options.allow_other_bits);
  CLI::Option* archive = app.add_flag("--archive", arguments->archive,
                                      "Keep the new models as what can be computed from others");
  add_dry_run_option(app, arguments->options.dry_run);
  archive->excludes("--dry-run");
  add_wait_option(app, arguments->options.wait);
  app.callback([=, &context, &action] {
    action = [=, &context] { return run_append(*arguments, context); };
  });
}

}  // namespace wshare
