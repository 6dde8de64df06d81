#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>

#include "archive_report.h"
#include "cli.h"
#include "dedupe_report.h"
#include "given_models.h"
#include "util/stopwatch.h"
#include "write_options.h"
#include "wshare/archive.h"
#include "wshare/dedupe.h"

namespace wshare {
namespace {

struct Arguments {
  ModelArguments models;
  std::string bundle;
  DedupeOptions options;
  bool archive = false;
};

ArchivedDedupe make(const Arguments& arguments, Context& context) {
  const std::vector<ModelInput> models = given_models(arguments.models, context);
  if (arguments.archive) return dedupe_archived(models, arguments.bundle, arguments.options);
  return {dedupe(models, arguments.bundle, arguments.options), {}};
}

}  // namespace

void add_dedupe(CLI::App& app, Context& context, Action& action) {
  const auto arguments = std::make_shared<Arguments>();
  add_models(app, "MODEL", arguments->models);
  CLI::Option* output = app.add_option("-o,--output", arguments->bundle, "The folder to make");
  add_min_bytes_option(app, arguments->options.min_bytes);
  CLI::Option* archive =
      app.add_flag("--archive", arguments->archive,
                   "Keep models as what can be computed from others where that is much smaller");
  app.add_option(
         "--like", arguments->options.like,
         "A bundle whose files are to stay as they are where models have their weights still")
      ->excludes(archive);
  add_dry_run_option(app, arguments->options.dry_run);
  archive->excludes("--dry-run");
  add_replace_option(app, arguments->options.replace);
  add_wait_option(app, arguments->options.wait);
  app.add_flag("--explain", arguments->options.explain,
               "Say of each large tensor who shares it, or why it stays");
  add_keep_identity_option(app, arguments->options.keep_identity);
  add_split_option(app, arguments->options.split_uses);
  add_tie_options(app, arguments->options.tie_transposed, arguments->options.allow_other_bits);
  app.callback([=, &context, &action] {
    if (!arguments->options.dry_run && output->count() == 0) throw CLI::RequiredError("--output");
    action = [=, &context] {
      context.apply_to(arguments->options);
      const Stopwatch stopwatch;
      const ArchivedDedupe made = make(*arguments, context);
      const DedupeReport& report = made.dedupe;
      const double seconds = stopwatch.seconds();
      say_kept(context.err, report.kept);
      if (context.json) {
        print_json(context.out, to_json(report, arguments->bundle, seconds));
      } else {
        print_report(context.out, report, arguments->options);
        if (arguments->archive) print_archived(context.out, made.archive, false);
      }
      return 0;
    };
  });
}

}  // namespace wshare
