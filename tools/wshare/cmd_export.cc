#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "cli.h"
#include "export_report.h"
#include "format/oci.h"
#include "util/stopwatch.h"
#include "write_options.h"
#include "wshare/export.h"

namespace wshare {
namespace {

struct Arguments {
  std::string kind, bundle, target;
  std::string form = "artifact", links, backend = "wshare";
  bool dry_run = false;
  ExportOciOptions oci;
  ExportTritonOptions triton;
};

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

int run_oci(const Arguments& arguments, Context& context) {
  const oci::Reference target = oci::parse_reference(arguments.target);
  ExportOciOptions options = arguments.oci;
  options.form = arguments.form == "car" ? OciForm::kCar : OciForm::kArtifact;
  options.links = arguments.links == "copy" ? OciLinks::kCopy : OciLinks::kHard;
  options.dry_run = arguments.dry_run;
  context.apply_to(options);
  const Stopwatch stopwatch;
  const ExportOciReport report = export_oci(arguments.bundle, target.layout,
                                            target.tag.empty() ? "latest" : target.tag, options);
  return print(context, report, target.layout, options, stopwatch.seconds());
}

int run_triton(const Arguments& arguments, Context& context) {
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

// Options that only one kind has, and words of --links.
void check_kind(const CLI::App& app, const Arguments& arguments) {
  const bool is_oci = arguments.kind == "oci";
  const std::set<std::string> others =
      is_oci ? std::set<std::string>{"--backend", "--instances", "--packed"}
             : std::set<std::string>{"--as", "--with-packs", "--model"};
  for (const std::string& name : others) {
    if (app.count(name) > 0)
      throw CLI::ValidationError(name + ": 'export " + arguments.kind + "' has no such option");
  }
  const std::set<std::string> links = is_oci ? std::set<std::string>{"hard", "copy"}
                                             : std::set<std::string>{"files", "folder", "hard"};
  if (!arguments.links.empty() && !links.contains(arguments.links)) {
    throw CLI::ValidationError("--links: 'export " + arguments.kind +
                               "' has no links of the kind '" + arguments.links + "'");
  }
}

void add_oci_options(CLI::App& app, Arguments& arguments) {
  app.add_option("--as", arguments.form,
                 "oci: a model artifact, or an image (car) with the files in /models")
      ->check(CLI::IsMember({"artifact", "car"}))
      ->capture_default_str();
  app.add_flag("--with-packs", arguments.oci.with_packs,
               "oci: also what pack has made, for machines like this one");
  app.add_option("--model", arguments.oci.models,
                 "oci: only this model or task, without what restore needs; repeat it for more")
      ->allow_extra_args(false);
}

void add_triton_options(CLI::App& app, Arguments& arguments) {
  app.add_option("--backend", arguments.backend,
                 "triton: the one that comes with wshare, or the server's own ONNX Runtime")
      ->check(CLI::IsMember({"wshare", "onnxruntime"}))
      ->capture_default_str();
  app.add_option("--instances", arguments.triton.instances, "triton: sessions of each model")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_flag("--packed", arguments.triton.packed, "triton: over packs, or not at all");
}

}  // namespace

void add_export(CLI::App& app, Context& context, Action& action) {
  const auto arguments = std::make_shared<Arguments>();
  app.add_option("KIND", arguments->kind, "What is to be written")
      ->required()
      ->check(CLI::IsMember({"oci", "triton"}));
  app.add_option("BUNDLE", arguments->bundle, "The bundle")->required();
  app.add_option("DEST", arguments->target,
                 "oci: LAYOUT[:TAG], a layout, new or not; triton: a model repository, new or not")
      ->required();
  add_oci_options(app, *arguments);
  add_triton_options(app, *arguments);
  app.add_option("--links", arguments->links,
                 "How DEST gets the bundle's files. oci: hard (default), copy; triton: files "
                 "(default), folder, hard")
      ->check(CLI::IsMember({"hard", "copy", "files", "folder"}));
  add_dry_run_option(app, arguments->dry_run);
  app.callback([=, &app, &context, &action] {
    check_kind(app, *arguments);
    action = [=, &context] {
      return arguments->kind == "oci" ? run_oci(*arguments, context)
                                      : run_triton(*arguments, context);
    };
  });
}

}  // namespace wshare
