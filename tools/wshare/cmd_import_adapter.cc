#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>

#include "cli.h"
#include "rows.h"
#include "util/text.h"
#include "write_options.h"
#include "wshare/import_adapter.h"

namespace wshare {
namespace {

struct Arguments {
  std::string bundle, adapter;
  ImportOptions options;
};

nlohmann::ordered_json to_json(const ImportReport& report) {
  nlohmann::ordered_json json{{"task", report.task}, {"base", report.base}};
  json["mapping"] = nlohmann::ordered_json::array();
  for (const ImportedModule& module : report.mapping) {
    json["mapping"].push_back({{"module", module.module},
                               {"tensor", module.tensor},
                               {"rank", module.rank},
                               {"scaling", module.scaling}});
  }
  json["same"] = report.same;
  json["adapter"] = report.adapter;
  json["adapter_bytes"] = report.adapter_bytes;
  json["model"] = report.model;
  json["new_model"] = report.new_model;
  return json;
}

nlohmann::ordered_json to_json(const std::vector<ImportReport>& reports,
                               const std::string& bundle) {
  nlohmann::ordered_json json{{"schema", "wshare.import-adapter/1"}, {"bundle", bundle}};
  if (reports.size() == 1) {
    json.update(to_json(reports[0]));
    return json;
  }
  json["tasks"] = nlohmann::ordered_json::array();
  for (const ImportReport& report : reports) json["tasks"].push_back(to_json(report));
  return json;
}

void print_report(std::ostream& out, const ImportReport& report, bool dry_run) {
  Rows rows = {{"rank", "scaling", "module", "tensor"}};
  for (const ImportedModule& module : report.mapping) {
    const bool lora = module.rank > 0;
    rows.push_back({lora ? std::to_string(module.rank) : "-",
                    lora ? fmt::format("{:g}", module.scaling) : "-", module.module,
                    module.tensor});
  }
  shorten_column(out, rows, 2, 40);
  print_rows(out, std::move(rows), 2);
  for (const std::string& name : report.same)
    out << in_quotes(name) << " is the base's, and not stored\n";
  out << fmt::format("task {} over {}: {}{}, {}{}\n", in_quotes(report.task),
                     in_quotes(report.base), dry_run ? "would be " : "", report.adapter,
                     format_bytes(report.adapter_bytes),
                     report.new_model ? "; the base gets inputs: " + report.model : "");
}

int run_import(const Arguments& arguments, Context& context) {
  ImportOptions options = arguments.options;
  context.apply_to(options);
  const std::vector<ImportReport> reports =
      import_adapter(arguments.bundle, arguments.adapter, options);
  if (context.json) {
    print_json(context.out, to_json(reports, arguments.bundle));
  } else {
    for (const ImportReport& report : reports) print_report(context.out, report, options.dry_run);
  }
  return 0;
}

}  // namespace

void add_import_adapter(CLI::App& app, Context& context, Action& action) {
  const auto arguments = std::make_shared<Arguments>();
  app.add_option("BUNDLE", arguments->bundle, "The bundle to add to")->required();
  app.add_option(
         "ADAPTER", arguments->adapter,
         "A folder of PEFT, a .safetensors file beside its adapter_config.json, an "
         ".onnx_adapter, or a .safetensors file of kohya's sd-scripts, LyCORIS or diffusers")
      ->required();
  app.add_option("--base", arguments->options.bases,
                 "The model of the bundle that the adapter is for, repeated where it is for "
                 "several; else the one that its tasks have, or its only one")
      ->allow_extra_args(false);
  app.add_option(
         "--part", arguments->options.parts,
         "Of an adapter for a pipeline of image models, the part to take, repeated for "
         "several: unet, text_encoder, text_encoder_2; else all, each for the base that fits")
      ->allow_extra_args(false);
  app.add_option("--name", arguments->options.task,
                 "Name of the task; else that of the adapter's folder or file. With several bases "
                 "each has a task of its own: NAME-BASE");
  add_dry_run_option(app, arguments->options.dry_run);
  add_wait_option(app, arguments->options.wait);
  app.callback([=, &context, &action] {
    action = [=, &context] { return run_import(*arguments, context); };
  });
}

}  // namespace wshare
