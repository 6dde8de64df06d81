#include "dedupe_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <ostream>

#include "bundled_models.h"
#include "cli.h"
#include "format/scope.h"
#include "rows.h"
#include "util/text.h"

namespace wshare {
namespace {

// Names what is told of as "model: tensor".
template <typename Tensor>
std::string name_of(const Tensor& tensor) {
  return tensor.model + ": " + full_name(tensor.scope, tensor.tensor);
}

void print_explanation(std::ostream& out, const DedupeReport& report) {
  Rows rows = {{"bytes", "tensor", "where, and why"}};
  for (const PlacedTensor& tensor : report.placed) {
    const std::string why = tensor.also_in.empty()
                                ? "no other model has these bytes"
                                : "also in " + fmt::format("{}", fmt::join(tensor.also_in, ", "));
    rows.push_back({format_bytes(tensor.bytes), name_of(tensor), tensor.blob + ": " + why});
  }
  for (const InlineTensor& tensor : report.left_inline) {
    if (tensor.reason == InlineReason::kBelowMinBytes) continue;
    rows.push_back({format_bytes(tensor.bytes), name_of(tensor),
                    std::string("inline: ") + text_of(tensor.reason)});
  }
  shorten_column(out, rows, 1, 41);
  print_rows(out, std::move(rows), 1);
  out << '\n';
}

// Says in words that there was nothing to share; else nothing.
std::string what_is_missing(const DedupeReport& report, uint64_t min_bytes) {
  const auto shares = [](const DedupedModel& model) { return model.shared_bytes > 0; };
  const bool any = std::any_of(report.models.begin(), report.models.end(), shares);
  if (any || report.distinct_tensors < report.tensors) return "";
  const std::string tensor = fmt::format("tensor of at least {} bytes", min_bytes);
  if (report.tensors == 0) return "nothing is shared: no " + tensor + " can leave its model\n";
  if (report.models.size() == 1) return "nothing is shared: no " + tensor + " occurs twice\n";
  return "nothing is shared: no two models have a " + tensor + " in common\n";
}

}  // namespace

nlohmann::ordered_json to_json(const DedupeReport& report, const std::string& bundle,
                               double seconds) {
  nlohmann::ordered_json json;
  json["schema"] = "wshare.dedupe/1";
  json["bundle"] = bundle;
  json["models"] = to_json(report.models);
  json["bytes_in"] = report.bytes_in;
  json["bytes_out"] = report.bytes_out;
  json["tensors"] = report.tensors;
  json["distinct_tensors"] = report.distinct_tensors;
  json["like_bytes"] = report.like_bytes;
  json["left_inline"] = to_json(report.left_inline);
  if (!report.transposed.empty()) json["transposed"] = to_json(report.transposed);
  json["seconds"] = seconds;
  return json;
}

void print_report(std::ostream& out, const DedupeReport& report, const DedupeOptions& options) {
  if (options.explain && report.tensors + report.left_inline.size() > 0)
    print_explanation(out, report);
  print_models(out, report.models, report.left_inline);
  print_pairs(out, report.transposed);
  out << what_is_missing(report, options.min_bytes);
  const int64_t saved =
      static_cast<int64_t>(report.bytes_in) - static_cast<int64_t>(report.bytes_out);
  const std::string change = saved >= 0 ? format_bytes(static_cast<uint64_t>(saved)) + " saved"
                                        : format_bytes(static_cast<uint64_t>(-saved)) + " added";
  out << fmt::format("{}{} -> {}, {}\n", options.dry_run ? "would be " : "",
                     format_bytes(report.bytes_in), format_bytes(report.bytes_out), change);
  if (!options.like.empty())
    out << fmt::format("{} are files of the bundle that it is like\n",
                       format_bytes(report.like_bytes));
}

}  // namespace wshare
