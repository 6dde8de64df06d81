#include "dedupe_report.h"

#include <fmt/format.h>

#include <map>
#include <ostream>

#include "cli.h"
#include "util/text.h"

namespace wshare {
namespace {

void print_explanation(std::ostream& out, const DedupeReport& report) {
  std::vector<std::vector<std::string>> rows;
  for (const PlacedTensor& tensor : report.placed) {
    const std::string why = tensor.also_in.empty()
                                ? "no other model has these bytes"
                                : "also in " + fmt::format("{}", fmt::join(tensor.also_in, ", "));
    rows.push_back({format_bytes(tensor.bytes), tensor.model,
                    (tensor.scope.empty() ? "" : tensor.scope + "/") + tensor.tensor, tensor.blob,
                    why});
  }
  for (const InlineTensor& tensor : report.left_inline) {
    if (tensor.reason == InlineReason::kBelowMinBytes) continue;
    rows.push_back({format_bytes(tensor.bytes), tensor.model,
                    (tensor.scope.empty() ? "" : tensor.scope + "/") + tensor.tensor, "inline",
                    text_of(tensor.reason)});
  }
  print_table(out, rows, 1);
  out << '\n';
}

}  // namespace

nlohmann::ordered_json to_json(const DedupeReport& report, const std::string& bundle,
                               double seconds) {
  nlohmann::ordered_json json;
  json["schema"] = "wshare.dedupe/1";
  json["bundle"] = bundle;
  json["models"] = nlohmann::ordered_json::array();
  for (const DedupedModel& model : report.models) {
    json["models"].push_back({{"name", model.name},
                              {"source", model.source},
                              {"bytes_in", model.bytes_in},
                              {"model_bytes", model.model_bytes},
                              {"own_bytes", model.own_bytes},
                              {"shared_bytes", model.shared_bytes},
                              {"tensors", model.tensors},
                              {"distinct", model.distinct}});
  }
  json["bytes_in"] = report.bytes_in;
  json["bytes_out"] = report.bytes_out;
  json["tensors"] = report.tensors;
  json["distinct_tensors"] = report.distinct_tensors;
  json["left_inline"] = nlohmann::ordered_json::array();
  for (const InlineTensor& tensor : report.left_inline) {
    json["left_inline"].push_back({{"model", tensor.model},
                                   {"tensor", tensor.tensor},
                                   {"scope", tensor.scope},
                                   {"bytes", tensor.bytes},
                                   {"reason", text_of(tensor.reason)}});
  }
  json["seconds"] = seconds;
  return json;
}

void print_report(std::ostream& out, const DedupeReport& report, const DedupeOptions& options) {
  if (options.explain) print_explanation(out, report);
  std::vector<std::vector<std::string>> rows = {{"before", "own", "shared", "tensors", "model"}};
  for (const DedupedModel& model : report.models) {
    rows.push_back({format_bytes(model.bytes_in), format_bytes(model.own_bytes),
                    format_bytes(model.shared_bytes), std::to_string(model.tensors), model.name});
  }
  print_table(out, rows, 4);
  std::map<std::string, std::pair<uint64_t, uint64_t>> reasons;
  for (const InlineTensor& tensor : report.left_inline) {
    auto& [count, bytes] = reasons[text_of(tensor.reason)];
    ++count;
    bytes += tensor.bytes;
  }
  for (const auto& [reason, what] : reasons) {
    out << fmt::format("left inline, {}: {} tensors, {}\n", reason, what.first,
                       format_bytes(what.second));
  }
  const int64_t saved =
      static_cast<int64_t>(report.bytes_in) - static_cast<int64_t>(report.bytes_out);
  const std::string change = saved >= 0 ? format_bytes(static_cast<uint64_t>(saved)) + " saved"
                                        : format_bytes(static_cast<uint64_t>(-saved)) + " added";
  out << fmt::format("{}{} -> {}, {}\n", options.dry_run ? "would be " : "",
                     format_bytes(report.bytes_in), format_bytes(report.bytes_out), change);
}

}  // namespace wshare
