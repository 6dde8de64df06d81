#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>

#include "cli.h"
#include "dedupe_report.h"
#include "wshare/dedupe.h"

namespace wshare {
namespace {

struct Arguments {
  std::vector<std::string> models;
  std::string bundle;
  DedupeOptions options;
};

}  // namespace

void add_dedupe(CLI::App& app, Context& context, Action& action) {
  const auto arguments = std::make_shared<Arguments>();
  app.add_option("MODEL", arguments->models, "A model file, NAME=file, or a folder of .onnx files")
      ->required();
  CLI::Option* output = app.add_option("-o,--output", arguments->bundle, "The folder to make");
  app.add_option("--min-bytes", arguments->options.min_bytes,
                 "Tensors of fewer bytes stay in their model")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_flag("-n,--dry-run", arguments->options.dry_run, "Say what would be done, write nothing");
  app.add_flag("--force", arguments->options.replace, "Replace a bundle that exists, as a whole");
  app.add_flag("--explain", arguments->options.explain,
               "Say of each large tensor who shares it, or why it stays");
  add_split_option(app, arguments->options.split_uses);
  app.callback([=, &context, &action] {
    if (!arguments->options.dry_run && output->count() == 0) throw CLI::RequiredError("--output");
    action = [=, &context] {
      arguments->options.threads = context.threads;
      arguments->options.progress = context.progress;
      const auto start = std::chrono::steady_clock::now();
      const DedupeReport report =
          dedupe(resolve_inputs(arguments->models), arguments->bundle, arguments->options);
      const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
      if (context.json) {
        print_json(context.out, to_json(report, arguments->bundle, took.count()));
      } else {
        print_report(context.out, report, arguments->options);
      }
      return 0;
    };
  });
}

}  // namespace wshare
