#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli.h"
#include "export_options.h"
#include "export_report.h"
#include "format/oci.h"
#include "util/stopwatch.h"

namespace wshare {
namespace {

// Prints what `report` says of `target`.
template <typename Report, typename Options>
int print(Context& context, const Report& report, const std::string& target, const Options& options,
          double seconds) {
  if (context.json) {
    nlohmann::ordered_json json = to_json(report, target);
    json["seconds"] = seconds;
    print_json(context.out, json);
  } else {
    print_report(context.out, report, target, options);
  }
  return 0;
}

int run_oci(const ExportArguments& arguments, Context& context) {
  const oci::Reference target = oci::parse_reference(arguments.target);
  ExportOciOptions options = arguments.oci;
  options.form = arguments.form == "car" ? OciForm::kCar : OciForm::kArtifact;
  options.links = arguments.links == "copy" ? OciLinks::kCopy : OciLinks::kHard;
  options.models = arguments.models;
  options.dry_run = arguments.dry_run;
  context.apply_to(options);
  const Stopwatch stopwatch;
  const ExportOciReport report = export_oci(arguments.bundle, target.layout,
                                            target.tag.empty() ? "latest" : target.tag, options);
  return print(context, report, target.layout, options, stopwatch.seconds());
}

int run_triton(const ExportArguments& arguments, Context& context) {
  ExportTritonOptions options = arguments.triton;
  options.backend =
      arguments.backend == "wshare" ? TritonBackend::kWshare : TritonBackend::kOnnxRuntime;
  options.links = arguments.links == "folder" ? TritonLinks::kFolder
                  : arguments.links == "hard" ? TritonLinks::kHard
                                              : TritonLinks::kFiles;
  options.dry_run = arguments.dry_run;
  const Stopwatch stopwatch;
  const ExportTritonReport report = export_triton(arguments.bundle, arguments.target, options);
  return print(context, report, arguments.target, options, stopwatch.seconds());
}

int run_hf(const ExportArguments& arguments, Context& context) {
  ExportHfOptions options;
  options.data = arguments.data == "own" ? HfData::kOwn : HfData::kShared;
  options.link = arguments.links != "copy";
  options.models = arguments.models;
  options.names = parse_export_names(arguments.names);
  options.dry_run = arguments.dry_run;
  const Stopwatch stopwatch;
  const ExportHfReport report = export_hf(arguments.bundle, arguments.target, options);
  return print(context, report, arguments.target, options, stopwatch.seconds());
}

}  // namespace

void add_export(CLI::App& app, Context& context, Action& action) {
  const auto arguments = std::make_shared<ExportArguments>();
  add_export_options(app, *arguments);
  app.callback([=, &app, &context, &action] {
    check_export_options(app, *arguments);
    action = [=, &context] {
      if (arguments->kind == "hf") return run_hf(*arguments, context);
      return arguments->kind == "oci" ? run_oci(*arguments, context)
                                      : run_triton(*arguments, context);
    };
  });
}

}  // namespace wshare
