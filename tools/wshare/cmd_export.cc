#include <CLI/CLI.hpp>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli.h"
#include "export_options.h"
#include "export_report.h"
#include "format/oci.h"
#include "util/stopwatch.h"
#include "wshare/export_ort_package.h"

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

std::string provider_called(const std::string& name) {
  return name == "cpu" ? "CPUExecutionProvider" : name == "cuda" ? "CUDAExecutionProvider" : name;
}

int run_ort_package(const ExportArguments& arguments, Context& context) {
  ExportOrtPackageOptions options;
  options.link = arguments.links != "copy";
  options.models = arguments.models;
  if (!arguments.providers.empty()) options.providers.clear();
  for (const std::string& name : arguments.providers)
    options.providers.push_back(provider_called(name));
  options.dry_run = arguments.dry_run;
  context.apply_to(options);
  const Stopwatch stopwatch;
  const ExportOrtPackageReport report =
      export_ort_package(arguments.bundle, arguments.target, options);
  return print(context, report, arguments.target, options, stopwatch.seconds());
}

}  // namespace

void add_export(CLI::App& app, Context& context, Action& action) {
  const auto arguments = std::make_shared<ExportArguments>();
  add_export_options(app, *arguments);
  app.callback([=, &app, &context, &action] {
    check_export_options(app, *arguments);
    static const std::map<std::string, int (*)(const ExportArguments&, Context&)> kinds = {
        {"oci", run_oci}, {"triton", run_triton}, {"hf", run_hf}, {"ort-package", run_ort_package}};
    action = [=, &context] { return kinds.at(arguments->kind)(*arguments, context); };
  });
}

}  // namespace wshare
