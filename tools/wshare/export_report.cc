#include "export_report.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <ostream>

#include "cli.h"
#include "rows.h"
#include "util/text.h"

namespace wshare {
namespace {

// What sends the tag to a registry of the user's.
std::string push_command(const std::string& layout, const std::string& tag) {
  return "skopeo copy --preserve-digests oci:" + layout + ":" + tag +
         " docker://REGISTRY/NAME:" + tag;
}

void print_left(std::ostream& out, const std::vector<std::string>& tasks) {
  if (tasks.empty()) return;
  out << fmt::format("left out: {}, which {} of the base\n", count_of(tasks.size(), "task"),
                     tasks.size() == 1 ? "is an adapter" : "are adapters");
}

void print_bytes(std::ostream& out, bool dry_run, uint64_t linked_bytes, uint64_t copied_bytes) {
  out << fmt::format("{}{} linked, {} copied\n", dry_run ? "would be: " : "",
                     format_bytes(linked_bytes), format_bytes(copied_bytes));
}

}  // namespace

nlohmann::ordered_json to_json(const ExportOciReport& report, const std::string& layout) {
  nlohmann::ordered_json json;
  json["schema"] = "wshare.export/1";
  json["layout"] = layout;
  json["tag"] = report.tag;
  json["digest"] = report.digest;
  json["layers"] = report.layers;
  json["bytes"] = report.bytes;
  json["new_bytes"] = report.new_bytes;
  json["linked_bytes"] = report.linked_bytes;
  json["copied_bytes"] = report.copied_bytes;
  json["hashed_bytes"] = report.hashed_bytes;
  json["push"] = push_command(layout, report.tag);
  return json;
}

void print_report(std::ostream& out, const ExportOciReport& report, const std::string& layout,
                  const ExportOciOptions& options) {
  print_table(out, {{report.digest, layout + ":" + report.tag}}, 0);
  out << fmt::format("{} of {}, {} of it new\n", count_of(report.layers, "layer"),
                     format_bytes(report.bytes), format_bytes(report.new_bytes));
  const bool no_links = options.links == OciLinks::kHard && options.form == OciForm::kArtifact &&
                        !options.dry_run && report.linked_bytes == 0;
  out << fmt::format("{}{} linked, {} copied{}\n", options.dry_run ? "would be: " : "",
                     format_bytes(report.linked_bytes), format_bytes(report.copied_bytes),
                     no_links ? ": there can be no links between these two folders" : "");
  if (options.dry_run) return;
  const std::string source = layout + ":" + report.tag;
  print_table(out,
              {{"send it:", push_command(layout, report.tag)},
               {"or:", "oras cp --from-oci-layout " + source + " REGISTRY/NAME:" + report.tag}},
              0);
}

nlohmann::ordered_json to_json(const ExportTritonReport& report, const std::string& repository) {
  nlohmann::ordered_json json;
  json["schema"] = "wshare.export/1";
  json["repository"] = repository;
  json["models"] = nlohmann::ordered_json::array();
  for (const TritonModel& model : report.models) {
    json["models"].push_back({{"name", model.name},
                              {"folder", model.folder.string()},
                              {"model_file", model.model_file}});
  }
  json["left"] = report.left;
  return json;
}

void print_report(std::ostream& out, const ExportTritonReport& report,
                  const std::string& repository, const ExportTritonOptions& options) {
  Rows rows;
  for (const TritonModel& model : report.models)
    rows.push_back({model.name, model.folder.string(), model.model_file});
  shorten_column(out, rows, 0, 30, 0);
  shorten_column(out, rows, 1, 30, 0);
  print_rows(out, std::move(rows), 0);
  if (!report.left.empty()) {
    out << fmt::format("left out: {}, which only the backend wshare serves\n",
                       count_of(report.left.size(), "task"));
  }
  if (options.dry_run) return;
  out << "serve it: tritonserver --model-repository ";
  print_table(out, {{repository}}, 0);
}

nlohmann::ordered_json to_json(const ExportHfReport& report, const std::string& folder) {
  nlohmann::ordered_json json;
  json["schema"] = "wshare.export/1";
  json["folder"] = folder;
  json["models"] = nlohmann::ordered_json::array();
  for (const HfModel& model : report.models)
    json["models"].push_back({{"name", model.name}, {"file", model.file}, {"data", model.data}});
  json["left"] = report.left;
  json["external_data"] = nlohmann::ordered_json::parse(report.list);
  json["linked_bytes"] = report.linked_bytes;
  json["copied_bytes"] = report.copied_bytes;
  return json;
}

void print_report(std::ostream& out, const ExportHfReport& report, const std::string& folder,
                  const ExportHfOptions& options) {
  std::vector<std::vector<std::string>> rows;
  for (const HfModel& model : report.models) {
    std::string data;
    for (const std::string& name : model.data) data += (data.empty() ? "" : " ") + name;
    rows.push_back({model.name, "onnx/" + model.file, data});
  }
  print_table(out, rows, 0);
  print_left(out, report.left);
  print_bytes(out, options.dry_run, report.linked_bytes, report.copied_bytes);
  const auto list = nlohmann::ordered_json::parse(report.list);
  if (list["externalData"].empty()) return;
  const bool is_own = options.data == HfData::kOwn;
  const char* const key = is_own ? "use_external_data_format" : "externalData";
  out << (is_own ? "config.json must say, for browsers, in \"transformers.js_config\":\n"
                 : "browsers must be told, in session_options:\n");
  print_table(out, {{"  \"" + std::string(key) + "\": " + list[key].dump()}}, 0);
  if (!options.dry_run) print_table(out, {{"also in " + folder + "/onnx/external_data.json"}}, 0);
}

nlohmann::ordered_json to_json(const ExportOrtPackageReport& report, const std::string& package) {
  nlohmann::ordered_json json;
  json["schema"] = "wshare.export/1";
  json["package"] = package;
  json["models"] = nlohmann::ordered_json::array();
  for (const PackagedModel& model : report.models)
    json["models"].push_back({{"name", model.name}, {"file", model.file}});
  json["left"] = report.left;
  json["asset"] = report.asset;
  json["linked_bytes"] = report.linked_bytes;
  json["copied_bytes"] = report.copied_bytes;
  return json;
}

void print_report(std::ostream& out, const ExportOrtPackageReport& report,
                  const std::string& package, const ExportOrtPackageOptions& options) {
  std::vector<std::vector<std::string>> rows;
  for (const PackagedModel& model : report.models) rows.push_back({model.name, model.file});
  print_table(out, rows, 0);
  print_left(out, report.left);
  if (!report.asset.empty()) out << fmt::format("weights: {}\n", report.asset);
  print_bytes(out, options.dry_run, report.linked_bytes, report.copied_bytes);
  if (options.dry_run) return;
  print_table(out, {{"open it: onnxruntime.ModelPackageContext(\"" + package + "\")"}}, 0);
}

}  // namespace wshare
