#include "pack_report.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli.h"
#include "rows.h"
#include "short_message.h"
#include "util/text.h"
#include "util/visible.h"
#include "version.h"

namespace wshare {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMostModels = 20;  // in the table, beside those that are not packed

Json if_any(const std::string& text) { return text.empty() ? Json() : Json(text); }

// What plain sessions, one of each model, have for themselves.
uint64_t plain_bytes(const PackReport& report) {
  uint64_t bytes = 0;
  for (const PackedModel& model : report.models) bytes += model.packed_bytes + model.folded_bytes;
  return bytes;
}

std::string text_of(const PackedModel& model) {
  return model.why_not.empty() ? model.model
                               : model.model + ": not packed: " + short_message(model.why_not);
}

// Says once for all models what their sessions go on making for themselves.
void print_own(std::ostream& out, const PackReport& report) {
  uint64_t bytes = 0;
  size_t models = 0;
  for (const PackedModel& model : report.models) {
    bytes += model.own_bytes;
    models += model.own_bytes > 0 ? 1 : 0;
  }
  if (models == 0) return;
  out << fmt::format(
      "{} that ONNX Runtime cannot read back: sessions of {} still pack them, each for itself\n",
      format_bytes(bytes), count_of(models, "model"));
}

// "5.5 MiB once instead of 9.0 MiB in one plain session of each"
std::string memory_of(const PackReport& report) {
  return fmt::format("{} once, instead of {} in one plain session of each",
                     format_bytes(report.distinct_packed_bytes + report.distinct_folded_bytes),
                     format_bytes(plain_bytes(report)));
}

std::string disk_of(uint64_t before, uint64_t after) {
  return fmt::format(
      "{} -> {} on disk, {} {} ({:.1f} times)", format_bytes(before), format_bytes(after),
      format_bytes(after >= before ? after - before : before - after),
      after >= before ? "more" : "less", static_cast<double>(after) / static_cast<double>(before));
}

void print_sizes(std::ostream& out, uint64_t before, uint64_t after, bool dry_run) {
  out << (dry_run ? "would be " : "") << disk_of(before, after) << '\n';
}

}  // namespace

void print_report(std::ostream& out, const PackReport& report, bool dry_run) {
  Rows rows = {{"packed", "folded", "weights", "model"}};
  for (const PackedModel& model : report.models) {
    if (rows.size() > kMostModels && model.why_not.empty()) continue;
    std::vector<std::string>& row = rows.emplace_back();
    for (const uint64_t bytes : {model.packed_bytes, model.folded_bytes, model.raw_bytes})
      row.push_back(model.file.empty() ? "-" : format_bytes(bytes));
    row.push_back(text_of(model));
  }
  print_rows(out, rows, 3);
  print_more_models(out, report.models.size(), rows.size() - 1);
  print_own(out, report);
  out << fmt::format("for ONNX Runtime {} on {}\n", visible(report.onnxruntime),
                     visible(report.cpu));
  if (report.other_packs > 0) {
    out << fmt::format(
        "beside {} for other ONNX Runtimes or CPUs; --prune drops what nobody here "
        "can use\n",
        report.other_packs);
  }
  out << "in memory " << memory_of(report) << '\n';
  print_sizes(out, report.bytes_before, report.bytes_out, dry_run);
}

void print_summary(std::ostream& out, const PackReport& report, bool dry_run) {
  size_t packed = 0;
  for (const PackedModel& model : report.models) packed += model.file.empty() ? 0 : 1;
  out << visible(fmt::format("wshare {}, ONNX Runtime {} on {}: {} of {} {}packed", kVersion,
                             report.onnxruntime, report.cpu.substr(0, report.cpu.find(' ')), packed,
                             count_of(report.models.size(), "model"), dry_run ? "would be " : ""))
      << "\nin memory " << memory_of(report) << '\n';
  print_sizes(out, report.bytes_before, report.bytes_out, dry_run);
}

void print_report(std::ostream& out, const PruneReport& report, bool dry_run) {
  Rows rows;
  for (const PrunedPack& pack : report.dropped)
    rows.push_back({pack.model, pack.onnxruntime, pack.why});
  if (!rows.empty()) out << (dry_run ? "would drop\n" : "dropped\n");
  shorten_column(out, rows, 0, 40, 0);
  print_rows(out, std::move(rows), 0);
  out << fmt::format("{} of {} packs {}, by what ONNX Runtime {} can use on {}\n", report.kept,
                     report.kept + report.dropped.size(), dry_run ? "would stay" : "stay",
                     visible(report.onnxruntime), visible(report.cpu));
  if (report.unused_bytes > 0) {
    out << fmt::format(
        "{} in blobs that stay {} used by nothing any more; 'wshare remove "
        "--compact' frees them\n",
        format_bytes(report.unused_bytes), dry_run ? "would be" : "are");
  }
  print_sizes(out, report.bytes_before, report.bytes_out, dry_run);
}

void add_to(Json& json, const PackReport& report) {
  json["onnxruntime"] = report.onnxruntime;
  json["cpu"] = report.cpu;
  json["models"] = Json::array();
  for (const PackedModel& model : report.models) {
    json["models"].push_back({{"name", model.model},
                              {"file", if_any(model.file)},
                              {"file_bytes", model.file_bytes},
                              {"packed_bytes", model.packed_bytes},
                              {"folded_bytes", model.folded_bytes},
                              {"own_bytes", model.own_bytes},
                              {"raw_bytes", model.raw_bytes},
                              {"why_not", if_any(model.why_not)},
                              {"untried", if_any(model.untried)},
                              {"random_outputs", model.random_outputs}});
  }
  json["distinct_packed_bytes"] = report.distinct_packed_bytes;
  json["distinct_folded_bytes"] = report.distinct_folded_bytes;
  json["other_packs"] = report.other_packs;
  json["bytes_before"] = report.bytes_before;
  json["bytes_out"] = report.bytes_out;
}

void add_to(Json& json, const PruneReport& report) {
  json["onnxruntime"] = report.onnxruntime;
  json["cpu"] = report.cpu;
  json["dropped"] = Json::array();
  for (const PrunedPack& pack : report.dropped) {
    json["dropped"].push_back({{"name", pack.model},
                               {"file", pack.file},
                               {"onnxruntime", pack.onnxruntime},
                               {"cpu", pack.cpu},
                               {"why", pack.why}});
  }
  json["kept"] = report.kept;
  json["bytes_before"] = report.bytes_before;
  json["bytes_out"] = report.bytes_out;
  json["unused_bytes"] = report.unused_bytes;
}

}  // namespace wshare
