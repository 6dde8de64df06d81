#pragma once

#include <map>
#include <string>
#include <vector>

#include "wshare/export.h"
#include "wshare/export_hf.h"

namespace CLI {
class App;
}

namespace wshare {

// What the command line of `wshare export` says, of whatever kind.
struct ExportArguments {
  std::string kind, bundle, target;
  std::string form = "artifact", links, backend = "wshare", data = "shared";
  std::vector<std::string> models, names, providers;
  bool dry_run = false;
  ExportOciOptions oci;
  ExportTritonOptions triton;
};

// Declares all options.
void add_export_options(CLI::App& app, ExportArguments& arguments);

// Throws CLI::ValidationError if one was given that the kind has not.
void check_export_options(const CLI::App& app, const ExportArguments& arguments);

// Returns what --name says: files by model. Throws CLI::ValidationError.
std::map<std::string, std::string> parse_export_names(const std::vector<std::string>& texts);

}  // namespace wshare
