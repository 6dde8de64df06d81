#include "archive_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <ostream>

#include "cli.h"
#include "rows.h"
#include "util/text.h"

namespace wshare {
namespace {

nlohmann::ordered_json model_json(const ArchivedModel& model) {
  nlohmann::ordered_json json;
  json["name"] = model.name;
  json["base"] = model.base.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(model.base);
  json["bytes_before"] = model.bytes_before;
  json["archived_bytes"] = model.archived_bytes;
  json["tensors"] = nlohmann::ordered_json::array();
  for (const ArchivedTensor& tensor : model.tensors) {
    json["tensors"].push_back(
        {{"tensor", tensor.tensor},
         {"class", archive_class_name(tensor.kind)},
         {"base_tensor", tensor.base_tensor.empty() ? nlohmann::ordered_json()
                                                    : nlohmann::ordered_json(tensor.base_tensor)},
         {"bytes", tensor.bytes},
         {"stored_bytes", tensor.stored_bytes},
         {"residual_bytes", tensor.residual_bytes}});
  }
  return json;
}

// What most of the model's bytes are: "moved from 'base'".
std::string summary(const ArchivedModel& model) {
  std::array<uint64_t, 6> bytes{};
  for (const ArchivedTensor& tensor : model.tensors)
    bytes[static_cast<size_t>(tensor.kind)] += tensor.bytes;
  const auto most =
      static_cast<ArchiveClass>(std::max_element(bytes.begin(), bytes.end()) - bytes.begin());
  switch (most) {
    case ArchiveClass::kCast:
      return "cast from " + in_quotes(model.base);
    case ArchiveClass::kTransposed:
      return "transposed from " + in_quotes(model.base);
    case ArchiveClass::kQuantised:
      return "quantised from " + in_quotes(model.base);
    case ArchiveClass::kMoved:
      return "moved from " + in_quotes(model.base);
    case ArchiveClass::kSame:
      return "the bundle has it";
    case ArchiveClass::kStored:
      break;
  }
  return "stored whole";
}

}  // namespace

nlohmann::ordered_json to_json(const std::vector<ArchivedModel>& models) {
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  for (const ArchivedModel& model : models) json.push_back(model_json(model));
  return json;
}

void print_archived(std::ostream& out, const ArchiveReport& report, bool dry_run) {
  Rows rows = {{"before", "archived", "", "model", ""}};
  for (const ArchivedModel& model : report.models) {
    const double share = model.bytes_before == 0
                             ? 0
                             : 100.0 * static_cast<double>(model.archived_bytes) /
                                   static_cast<double>(model.bytes_before);
    rows.push_back({format_bytes(model.bytes_before), format_bytes(model.archived_bytes),
                    fmt::format("{:.1f} %", share), model.name, summary(model)});
  }
  for (const LeftModel& model : report.left)
    rows.push_back({"", "", "", model.name, "stays: " + model.why});
  shorten_column(out, rows, 3, 33);
  if (report.models.empty()) rows.erase(rows.begin());
  print_rows(out, std::move(rows), 3);
  if (report.models.empty()) out << "there is nothing to archive\n";
  if (report.unused_bytes > 0) {
    out << fmt::format(
        "{} in blobs that stay {} needed by nothing any more; remove --compact frees them\n",
        format_bytes(report.unused_bytes), dry_run ? "would be" : "are");
  }
  out << fmt::format("{}{} -> {}\n", dry_run ? "would be about " : "",
                     format_bytes(report.bytes_before), format_bytes(report.bytes_out));
}

}  // namespace wshare
