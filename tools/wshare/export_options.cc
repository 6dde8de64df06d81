#include "export_options.h"

#include <CLI/CLI.hpp>
#include <set>

#include "write_options.h"

namespace wshare {
namespace {

using Words = std::set<std::string>;

void add_oci_options(CLI::App& app, ExportArguments& arguments) {
  app.add_option("--as", arguments.form,
                 "oci: a model artifact, or an image (car) with the files in /models")
      ->check(CLI::IsMember({"artifact", "car"}))
      ->capture_default_str();
  app.add_flag("--with-packs", arguments.oci.with_packs,
               "oci: also what pack has made, for machines like this one");
}

void add_hf_options(CLI::App& app, ExportArguments& arguments) {
  app.add_option("--data", arguments.data,
                 "hf: weights in files that models share, of which browsers must be told, or under "
                 "names of each model's own")
      ->check(CLI::IsMember({"shared", "own"}))
      ->capture_default_str();
  app.add_option("--name", arguments.names, "hf: MODEL=FILE, what that model is called there")
      ->allow_extra_args(false);
}

void add_triton_options(CLI::App& app, ExportArguments& arguments) {
  app.add_option("--backend", arguments.backend,
                 "triton: the one that comes with wshare, or the server's own ONNX Runtime")
      ->check(CLI::IsMember({"wshare", "onnxruntime"}))
      ->capture_default_str();
  app.add_option("--instances", arguments.triton.instances, "triton: sessions of each model")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_flag("--packed", arguments.triton.packed, "triton: over packs, or not at all");
}

void add_ort_package_options(CLI::App& app, ExportArguments& arguments) {
  app.add_option(
         "--ep", arguments.providers,
         "ort-package: a provider that sessions may ask for: cpu (default), cuda, or as ONNX "
         "Runtime calls it; repeat it for more")
      ->allow_extra_args(false);
}

}  // namespace

void add_export_options(CLI::App& app, ExportArguments& arguments) {
  app.add_option("KIND", arguments.kind, "What is to be written")
      ->required()
      ->check(CLI::IsMember({"oci", "triton", "hf", "ort-package"}));
  app.add_option("BUNDLE", arguments.bundle, "The bundle")->required();
  app.add_option("DEST", arguments.target,
                 "oci: LAYOUT[:TAG], a layout, new or not; triton: a model repository, new or not; "
                 "hf: a folder, new or not, that gets 'onnx'; ort-package: a new folder")
      ->required();
  add_oci_options(app, arguments);
  add_triton_options(app, arguments);
  add_hf_options(app, arguments);
  add_ort_package_options(app, arguments);
  app.add_option(
         "--model", arguments.models,
         "oci, hf, ort-package: only this model or task, without what restore needs; repeat it for "
         "more")
      ->allow_extra_args(false);
  app.add_option("--links", arguments.links,
                 "How DEST gets the bundle's files: hard (default), copy; triton: files (default), "
                 "folder, hard")
      ->check(CLI::IsMember({"hard", "copy", "files", "folder"}));
  add_dry_run_option(app, arguments.dry_run);
}

std::map<std::string, std::string> parse_export_names(const std::vector<std::string>& texts) {
  std::map<std::string, std::string> names;
  for (const std::string& text : texts) {
    const size_t at = text.rfind('=');
    if (at == std::string::npos || at == 0 || at + 1 == text.size())
      throw CLI::ValidationError("--name: '" + text + "' is no MODEL=FILE");
    if (!names.emplace(text.substr(0, at), text.substr(at + 1)).second)
      throw CLI::ValidationError("--name: '" + text.substr(0, at) + "' has two names");
  }
  return names;
}

void check_export_options(const CLI::App& app, const ExportArguments& arguments) {
  static const std::map<std::string, Words> kinds = {{"--as", {"oci"}},
                                                     {"--with-packs", {"oci"}},
                                                     {"--model", {"oci", "hf", "ort-package"}},
                                                     {"--backend", {"triton"}},
                                                     {"--packed", {"triton"}},
                                                     {"--instances", {"triton"}},
                                                     {"--ep", {"ort-package"}},
                                                     {"--name", {"hf"}},
                                                     {"--data", {"hf"}}};
  for (const auto& [name, having] : kinds) {
    if (app.count(name) > 0 && !having.contains(arguments.kind))
      throw CLI::ValidationError(name + ": 'export " + arguments.kind + "' has no such option");
  }
  const Words links =
      arguments.kind == "triton" ? Words{"files", "folder", "hard"} : Words{"hard", "copy"};
  if (!arguments.links.empty() && !links.contains(arguments.links)) {
    throw CLI::ValidationError("--links: 'export " + arguments.kind +
                               "' has no links of the kind '" + arguments.links + "'");
  }
  parse_export_names(arguments.names);
}

}  // namespace wshare
