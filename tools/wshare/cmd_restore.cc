#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>

#include "cli.h"
#include "rows.h"
#include "wshare/restore.h"

namespace wshare {
namespace {

struct Arguments {
  std::string bundle;
  std::vector<std::string> names;
  std::string output;
  RestoreOptions options;
};

void print_models(const Context& context, const std::vector<RestoredModel>& models,
                  const std::string& output) {
  if (context.json) {
    nlohmann::ordered_json json;
    json["schema"] = "wshare.restore/1";
    json["models"] = nlohmann::ordered_json::array();
    for (const RestoredModel& model : models) {
      json["models"].push_back({{"name", model.name},
                                {"path", model.path.lexically_relative(output).string()},
                                {"identical", model.identical},
                                {"approximate", model.approximate}});
    }
    print_json(context.out, json);
    return;
  }
  Rows rows;
  for (const RestoredModel& model : models) {
    const char* said = model.identical     ? "identical"
                       : model.approximate ? "approximate, there are no residuals"
                                           : "same content";
    rows.push_back({model.name, model.path.string(), said});
  }
  shorten_column(context.out, rows, 0, 30, 0);
  shorten_column(context.out, rows, 1, 50, 0);
  print_table(context.out, rows, 0);
}

}  // namespace

void add_restore(CLI::App& app, Context& context, Action& action) {
  const auto arguments = std::make_shared<Arguments>();
  app.add_option("BUNDLE", arguments->bundle, "The bundle")->required();
  app.add_option("NAME", arguments->names, "Models to restore (default: all)");
  app.add_option("-o,--output", arguments->output, "The folder for the original files")->required();
  app.add_flag("-n,--dry-run", arguments->options.dry_run, "Check and list, write nothing");
  app.add_flag("--force", arguments->options.replace, "Overwrite files that exist");
  app.callback([=, &context, &action] {
    action = [=, &context] {
      context.apply_to(arguments->options);
      print_models(
          context,
          restore(arguments->bundle, arguments->names, arguments->output, arguments->options),
          arguments->output);
      return 0;
    };
  });
}

}  // namespace wshare
