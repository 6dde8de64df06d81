#include "inspect_page.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>

#include "inspect_rows.h"
#include "page_tensors.h"
#include "report_page.h"
#include "util/as_text.h"
#include "util/mapped_file.h"
#include "util/target_file.h"
#include "util/text.h"
#include "version.h"
#include "wshare/error.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

using Json = nlohmann::ordered_json;

// Lists in the page end here. With the tensors they stay under 2 MiB.
constexpr size_t kMostParts = 12;  // of a model by dtype, ...
constexpr size_t kDetailed = 100;  // models with such parts, and in the matrix
constexpr size_t kMostModels = 500;
constexpr size_t kMostPlaces = 30;    // of a finding
constexpr size_t kMostWeights = 400;  // of all tasks
constexpr size_t kMostStrengths = 32;
constexpr size_t kMostPaths = 20;

Json counts_json(const std::vector<TensorCount>& counts) {
  Json list = Json::array();
  for (const TensorCount& count : counts) {
    if (list.size() == kMostParts) break;
    list.push_back({page_name(count.what), count.tensors, count.bytes});
  }
  return list;
}

Json model_json(const InspectedModel& model, bool is_detailed) {
  Json json = {{"name", page_name(model.name)},         {"bytes", model.bytes},
               {"tensor_bytes", model.tensor_bytes},    {"tensors", model.tensors},
               {"own_bytes", model.own_bytes},          {"shared_bytes", model.shared_bytes},
               {"repeated_bytes", model.repeated_bytes},  {"saved_bytes", model.saved_bytes}};
  if (model.freed_bytes) json["freed_bytes"] = *model.freed_bytes;
  if (!is_detailed) return json;
  json["by_dtype"] = counts_json(model.by_dtype);
  json["by_op"] = counts_json(model.by_op);
  json["by_home"] = counts_json(model.by_home);
  return json;
}

// The models that share most, as many as a page can show, families side by side.
Json matrix_json(const Inspection& inspection) {
  const std::vector<size_t>& compared = inspection.compared_models;
  std::vector<size_t> chosen(compared.size());  // in the matrix
  std::iota(chosen.begin(), chosen.end(), size_t{0});
  std::stable_sort(chosen.begin(), chosen.end(), [&](size_t a, size_t b) {
    return inspection.models[compared[a]].shared_bytes >
           inspection.models[compared[b]].shared_bytes;
  });
  chosen.resize(std::min(chosen.size(), kDetailed));
  chosen = clustered(inspection.matrix, chosen);
  Json cells = Json::array();
  for (const size_t row : chosen) {
    Json line = Json::array();
    for (const size_t column : chosen) line.push_back(inspection.matrix[row][column]);
    cells.push_back(std::move(line));
  }
  for (size_t& row : chosen) row = compared[row];
  return {{"models", chosen}, {"bytes", std::move(cells)}};
}

Json finding_json(const Finding& finding) {
  Json places = Json::array();
  for (const FindingPlace& place : finding.places) {
    if (places.size() == kMostPlaces) break;
    const TensorUse& use = place.use;
    places.push_back({{"model", page_name(use.model)},
                      {"tensor", page_name(name_of(use))},
                      {"file", page_name(place.file)},
                      {"bytes", place.bytes},
                      {"note", page_name(place.note)}});
  }
  std::string title;
  for (const FindingKind& kind : finding_kinds()) {
    if (kind.id == finding.id) title = kind.title;
  }
  return {{"id", finding.id},
          {"title", title},
          {"bytes", finding.bytes},
          {"count", finding.places.size()},
          {"places", std::move(places)}};
}

Json task_json(const InspectedTask& task, size_t most_weights) {
  Json weights = Json::array();
  for (const InspectedTaskWeight& weight : task.weights) {
    if (weights.size() == most_weights) break;
    Json strengths = Json::array();
    for (const double strength : weight.strengths) {
      if (strengths.size() == kMostStrengths) break;
      strengths.push_back(static_cast<float>(strength));
    }
    weights.push_back({{"tensor", page_name(weight.tensor)},
                       {"rank", weight.rank},
                       {"relative_error", static_cast<float>(weight.relative_error)},
                       {"residual_bytes", weight.residual_bytes},
                       {"strengths", std::move(strengths)}});
  }
  return {{"name", page_name(task.name)},          {"base", page_name(task.base)},
          {"adapter_bytes", task.adapter_bytes},   {"residual_bytes", task.residual_bytes},
          {"freed_bytes", task.freed_bytes},       {"own_model", !task.model.empty()},
          {"weights_in_all", task.weights.size()}, {"weights", std::move(weights)}};
}

Json extract_json(const ExtractEstimate& estimate) {
  Json tasks = Json::array();
  for (const ExtractableTask& task : estimate.tasks) {
    tasks.push_back({{"model", page_name(task.model)},
                     {"weights", task.weights},
                     {"bytes", task.bytes},
                     {"adapter_bytes", task.adapter_bytes},
                     {"rank", task.largest_rank}});
  }
  return {{"base", page_name(estimate.base)},
          {"saved_bytes", estimate.saved_bytes},
          {"tasks", std::move(tasks)}};
}

// Bytes of blobs that hold packs, adapters, archived models.
struct BundleParts {
  uint64_t packs = 0, adapters = 0, archives = 0;
};

BundleParts parts_of(const Inspection& inspection) {
  BundleParts parts;
  for (const InspectedBlob& blob : inspection.blobs) parts.packs += blob.of_packs ? blob.bytes : 0;
  for (const InspectedTask& task : inspection.tasks)
    parts.adapters += task.adapter_bytes + task.residual_bytes;
  for (const InspectedArchive& model : inspection.archived) parts.archives += model.archived_bytes;
  return parts;
}

Json pack_json(const InspectedPack& pack) {
  return {{"model", page_name(pack.model)},
          {"bytes", pack.bytes},
          {"packed_bytes", pack.packed_bytes},
          {"onnxruntime", page_name(pack.onnxruntime)},
          {"current", pack.current}};
}

Json archive_json(const InspectedArchive& model) {
  return {{"name", page_name(model.name)},
          {"base", page_name(model.base)},
          {"bytes", model.bytes},
          {"archived_bytes", model.archived_bytes}};
}

template <typename Item, typename ToJson>
Json some_json(const std::vector<Item>& items, size_t most, const ToJson& to_json) {
  Json list = Json::array();
  for (size_t i = 0; i < std::min(items.size(), most); ++i) list.push_back(to_json(items[i]));
  return list;
}

Json source_json(const PageSource& source) {
  return {{"paths", some_json(source.paths, kMostPaths, page_name)},
          {"more", source.paths.size() - std::min(source.paths.size(), kMostPaths)}};
}

Json page_json(const Inspection& inspection, uint64_t min_bytes, const PageSource& source) {
  const BundleParts parts = parts_of(inspection);
  uint64_t own = 0;  // also of models that are not listed
  for (const InspectedModel& model : inspection.models) own += model.own_bytes;
  Json json = {{"schema", "wshare.inspect-page/1"},
               {"version", kVersion},
               {"date", source.date},
               {"inspected", source_json(source)},
               {"bundle", page_name(inspection.bundle)},
               {"compared", inspection.compared},
               {"min_bytes", min_bytes},
               {"input_bytes", inspection.input_bytes},
               {"bundle_bytes", inspection.predicted_bundle_bytes},
               {"total_bytes", inspection.total_bytes},
               {"distinct_bytes", inspection.distinct_bytes},
               {"shared_bytes", inspection.shared_bytes},
               {"own_bytes", own},
               {"pack_bytes", parts.packs},
               {"adapter_bytes", parts.adapters},
               {"archive_bytes", parts.archives},
               {"models_in_all", inspection.models.size()}};
  const bool is_detailed = inspection.models.size() <= kDetailed;
  for (const char* list : {"models", "findings", "tasks"}) json[list] = Json::array();
  for (const InspectedModel& model : inspection.models) {
    if (json["models"].size() == kMostModels) break;
    json["models"].push_back(model_json(model, is_detailed));
  }
  json["matrix"] = matrix_json(inspection);
  for (const Finding& finding : inspection.findings) {
    json["findings"].push_back(finding_json(finding));
  }
  json["packs"] = some_json(inspection.packs, kDetailed, pack_json);
  json["archived"] = some_json(inspection.archived, kDetailed, archive_json);
  json["extract"] = inspection.extract ? extract_json(*inspection.extract) : Json();
  const size_t shown_tasks = std::min(inspection.tasks.size(), kDetailed);
  for (size_t t = 0; t < shown_tasks; ++t) {
    json["tasks"].push_back(task_json(inspection.tasks[t], kMostWeights / shown_tasks));
  }
  json["tensors"] = page_tensors(inspection.contents);
  return json;
}

// The page begins with its own name, so that only pages are replaced.
std::string_view first_line() { return kReportPage.substr(0, kReportPage.find('\n') + 1); }

}  // namespace

std::string page_date() {
  std::time_t now = std::time(nullptr);
  if (const char* epoch = std::getenv("SOURCE_DATE_EPOCH")) {
    const int64_t given = parse_decimal(epoch);
    if (given >= 0) now = given;
  }
  std::tm day{};
  char text[16];
  if (gmtime_r(&now, &day) == nullptr) return "";
  return std::string(text, std::strftime(text, sizeof text, "%Y-%m-%d", &day));
}

std::string to_html(const Inspection& inspection, uint64_t min_bytes, const PageSource& source) {
  constexpr std::string_view kPlace = "@DATA@";
  const std::string json =
      page_json(inspection, min_bytes, source).dump(-1, ' ', false, Json::error_handler_t::replace);
  const size_t place = kReportPage.find(kPlace);
  std::string page(kReportPage.substr(0, place));
  for (const char c : json) {  // no name ends the script that holds it
    c == '<' ? page += "\\u003c" : page += c;
  }
  page += kReportPage.substr(place + kPlace.size());
  return page;
}

void check_place_of_page(const fs::path& file) {
  const auto refuse = [&](const std::string& why, const char* hint) {
    throw Error(ErrorCode::kIo, in_quotes(file.string()) + ": " + why, hint);
  };
  std::error_code ignored;
  if (fs::is_regular_file(file, ignored)) {
    if (!as_text(MappedFile::open(file).bytes()).starts_with(first_line()))
      refuse("exists and is no report of wshare", "remove it, or give another name");
  } else if (fs::exists(file, ignored)) {
    refuse("is no place for a file", "give the name of a file, such as report.html");
  }
  const fs::path folder = file.has_parent_path() ? file.parent_path() : fs::path(".");
  if (!fs::is_directory(folder, ignored))
    refuse("there is no folder " + in_quotes(folder.string()), "make the folder first");
  if (::access(folder.c_str(), W_OK) != 0)
    refuse("the folder cannot be written to", "name a file in a folder of yours");
}

void save_page(const std::string& page, const fs::path& file) {
  check_place_of_page(file);
  TargetFile target(file, page.size(), true);
  target.file().write(page);
  target.publish();
}

}  // namespace wshare
