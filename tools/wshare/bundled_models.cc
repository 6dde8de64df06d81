#include "bundled_models.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <ostream>

#include "cli.h"
#include "rows.h"
#include "util/name_list.h"
#include "util/text.h"

namespace wshare {

nlohmann::ordered_json to_json(const std::vector<DedupedModel>& models) {
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  for (const DedupedModel& model : models) {
    json.push_back({{"name", model.name},
                    {"source", model.source},
                    {"same_as", model.same_as.empty() ? nlohmann::ordered_json()
                                                      : nlohmann::ordered_json(model.same_as)},
                    {"archived", model.archived},
                    {"bytes_in", model.bytes_in},
                    {"model_bytes", model.model_bytes},
                    {"own_bytes", model.own_bytes},
                    {"shared_bytes", model.shared_bytes},
                    {"saved_bytes", model.saved_bytes},
                    {"tensors", model.tensors},
                    {"distinct", model.distinct},
                    {"renames", model.renames}});
  }
  return json;
}

nlohmann::ordered_json to_json(const std::vector<InlineTensor>& left_inline) {
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  for (const InlineTensor& tensor : left_inline) {
    json.push_back({{"model", tensor.model},
                    {"tensor", tensor.tensor},
                    {"scope", tensor.scope},
                    {"bytes", tensor.bytes},
                    {"reason", text_of(tensor.reason)}});
  }
  return json;
}

nlohmann::ordered_json to_json(const std::vector<TransposedPair>& pairs) {
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  for (const TransposedPair& pair : pairs) {
    nlohmann::ordered_json& entry = json.emplace_back(nlohmann::ordered_json{
        {"model", pair.model}, {"tensor", pair.tensor}, {"of_model", nullptr}});
    if (!pair.of_model.empty()) entry["of_model"] = pair.of_model;
    entry["of_tensor"] = pair.of_tensor;
    entry["bytes"] = pair.bytes;
    entry["why_not"] = nullptr;
    if (!pair.why_not.empty()) entry["why_not"] = pair.why_not;
  }
  return json;
}

void print_pairs(std::ostream& out, const std::vector<TransposedPair>& pairs) {
  for (const TransposedPair& pair : pairs) {
    const std::string of = in_quotes(pair.of_tensor) + " of " +
                           (pair.of_model.empty() ? "the bundle" : in_quotes(pair.of_model));
    out << fmt::format(
        "{}: {} of {} is {} turned{}\n", pair.why_not.empty() ? "tied" : "not tied",
        in_quotes(pair.tensor), in_quotes(pair.model), of,
        pair.why_not.empty() ? ", " + format_bytes(pair.bytes) + " less" : "; it " + pair.why_not);
  }
}

// Names models that are one file, those of one on one line.
void print_same(std::ostream& out, const std::vector<DedupedModel>& models) {
  std::vector<std::pair<std::string, std::vector<std::string>>> groups;  // in the order of models
  for (const DedupedModel& model : models) {
    if (model.same_as.empty()) continue;
    auto at = std::find_if(groups.begin(), groups.end(),
                           [&](const auto& group) { return group.first == model.same_as; });
    if (at == groups.end()) at = groups.insert(groups.end(), {model.same_as, {}});
    at->second.push_back(model.name);
  }
  constexpr size_t kNamed = 5;
  for (const auto& [first, others] : groups) {
    const std::string names =
        others.size() <= kNamed
            ? list_in_quotes(others)
            : fmt::format("{} models, such as {}", others.size(), in_quotes(others[0]));
    out << fmt::format("{}: same file as {}\n", names, in_quotes(first));
  }
}

void print_models(std::ostream& out, const std::vector<DedupedModel>& models,
                  const std::vector<InlineTensor>& left_inline) {
  std::vector<std::vector<std::string>> rows = {
      {"before", "own", "shared", "saved", "tensors", "model"}};
  constexpr size_t kMostModels = 50;
  for (const DedupedModel& model : models) {
    if (rows.size() > kMostModels) break;
    rows.push_back({format_bytes(model.bytes_in), format_bytes(model.own_bytes),
                    format_bytes(model.shared_bytes), format_bytes(model.saved_bytes),
                    std::to_string(model.tensors), model.name});
  }
  print_rows(out, rows, 5);
  print_more_models(out, models.size(), rows.size() - 1);
  print_same(out, models);
  for (const DedupedModel& model : models) {
    if (model.renames > 0) {
      out << fmt::format("{}: reads weights without {} that only rename them\n",
                         in_quotes(model.name), count_of(model.renames, "node"));
    }
  }
  std::map<std::string, std::pair<uint64_t, uint64_t>> reasons;
  for (const InlineTensor& tensor : left_inline) {
    auto& [count, bytes] = reasons[text_of(tensor.reason)];
    ++count;
    bytes += tensor.bytes;
  }
  for (const auto& [reason, what] : reasons) {
    out << fmt::format("left inline, {}: {}, {}\n", reason, count_of(what.first, "tensor"),
                       format_bytes(what.second));
  }
}

}  // namespace wshare
