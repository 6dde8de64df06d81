#include <nlohmann/json.hpp>

#include "inspect_report.h"

// The form is docs/inspect.schema.json.

namespace wshare {
namespace {

using Json = nlohmann::ordered_json;

Json use_json(const TensorUse& use) {
  return {{"model", use.model}, {"scope", use.scope}, {"tensor", use.tensor}};
}

Json counts_json(const std::vector<TensorCount>& counts, const char* key) {
  Json list = Json::array();
  for (const TensorCount& count : counts) {
    list.push_back({{key, count.what}, {"tensors", count.tensors}, {"bytes", count.bytes}});
  }
  return list;
}

Json tensor_json(const InspectedTensor& tensor) {
  return {{"tensor", tensor.tensor}, {"scope", tensor.scope},    {"dtype", tensor.dtype},
          {"shape", tensor.shape},   {"bytes", tensor.bytes},    {"home", tensor.home},
          {"op", tensor.op},         {"also_in", tensor.also_in}};
}

Json model_json(const InspectedModel& model) {
  Json json = {{"name", model.name},
               {"path", model.path},
               {"same_as", model.same_as.empty() ? Json() : Json(model.same_as)},
               {"bytes", model.bytes},
               {"tensor_bytes", model.tensor_bytes},
               {"tensors", model.tensors},
               {"own_bytes", model.own_bytes},
               {"shared_bytes", model.shared_bytes},
               {"repeated_bytes", model.repeated_bytes},
               {"freed_bytes", model.freed_bytes ? Json(*model.freed_bytes) : Json()}};
  json["by_dtype"] = counts_json(model.by_dtype, "dtype");
  json["by_home"] = counts_json(model.by_home, "home");
  json["by_op"] = counts_json(model.by_op, "op");
  json["by_scope"] = counts_json(model.by_scope, "scope");
  json["left_inline"] = counts_json(model.left_inline, "reason");
  json["largest"] = Json::array();
  for (const InspectedTensor& tensor : model.largest)
    json["largest"].push_back(tensor_json(tensor));
  json["external"] = Json::array();
  for (const InspectedFile& file : model.external) {
    json["external"].push_back({{"file", file.file},
                                {"bytes", file.bytes ? Json(*file.bytes) : Json()},
                                {"needed", file.needed},
                                {"complete", file.complete()}});
  }
  return json;
}

Json duplicate_json(const Duplicate& duplicate) {
  Json json = {{"hash", duplicate.hash}, {"bytes", duplicate.bytes}, {"uses", Json::array()}};
  for (const TensorUse& use : duplicate.uses) json["uses"].push_back(use_json(use));
  return json;
}

Json finding_json(const InspectFinding& finding) {
  Json json = {{"id", finding.id}, {"bytes", finding.bytes}, {"places", Json::array()}};
  for (const FindingPlace& place : finding.places) {
    json["places"].push_back({{"model", place.use.model},
                              {"scope", place.use.scope},
                              {"tensor", place.use.tensor},
                              {"file", place.file},
                              {"bytes", place.bytes},
                              {"note", place.note}});
  }
  return json;
}

Json extract_json(const ExtractEstimate& estimate) {
  Json json = {
      {"base", estimate.base}, {"saved_bytes", estimate.saved_bytes}, {"tasks", Json::array()}};
  for (const ExtractableTask& task : estimate.tasks) {
    json["tasks"].push_back({{"model", task.model},
                             {"weights", task.weights},
                             {"bytes", task.bytes},
                             {"adapter_bytes", task.adapter_bytes},
                             {"residual_bytes", task.residual_bytes},
                             {"largest_rank", task.largest_rank}});
  }
  return json;
}

}  // namespace

Json to_json(const Inspection& inspection) {
  const bool is_bundle = !inspection.bundle.empty();
  Json json;
  json["schema"] = "wshare.inspect/1";
  if (is_bundle) json["bundle"] = inspection.bundle;
  json["models"] = Json::array();
  for (const InspectedModel& model : inspection.models) json["models"].push_back(model_json(model));
  json["input_bytes"] = inspection.input_bytes;
  json["total_bytes"] = inspection.total_bytes;
  const auto if_compared = [&](uint64_t bytes) {
    return inspection.compared ? Json(bytes) : Json();
  };
  json["distinct_bytes"] = if_compared(inspection.distinct_bytes);
  json["shared_bytes"] = if_compared(inspection.shared_bytes);
  json["transposed_bytes"] =
      inspection.transposed_bytes ? Json(*inspection.transposed_bytes) : Json();
  json["predicted_bundle_bytes"] = if_compared(inspection.predicted_bundle_bytes);
  json["duplicates"] = Json::array();
  for (const Duplicate& duplicate : inspection.duplicates) {
    json["duplicates"].push_back(duplicate_json(duplicate));
  }
  json["transposed"] = Json::array();
  for (const TransposedTwin& twin : inspection.twins) {
    json["transposed"].push_back({{"bytes", twin.bytes},
                                  {"tensor", use_json(twin.tensor)},
                                  {"transpose_of", use_json(twin.transpose_of)}});
  }
  json["matrix"] = inspection.matrix;
  json["extract"] = inspection.extract ? extract_json(*inspection.extract) : Json();
  json["findings"] = Json::array();
  for (const InspectFinding& finding : inspection.findings) {
    json["findings"].push_back(finding_json(finding));
  }
  if (!is_bundle) return json;
  json["blobs"] = Json::array();
  for (const InspectedBlob& blob : inspection.blobs) {
    json["blobs"].push_back({{"file", blob.file}, {"bytes", blob.bytes}, {"models", blob.models}});
  }
  for (const InspectedPack& pack : inspection.packs) {
    json["packs"].push_back({{"model", pack.model},
                             {"file", pack.file},
                             {"packed_bytes", pack.packed_bytes},
                             {"onnxruntime", pack.onnxruntime},
                             {"cpu", pack.cpu},
                             {"optimization", pack.optimization},
                             {"current", pack.current}});
  }
  if (inspection.tasks.empty()) return json;
  json["tasks"] = Json::array();
  for (const InspectedTask& task : inspection.tasks) {
    json["tasks"].push_back({{"name", task.name},
                             {"base", task.base},
                             {"adapter", task.adapter.empty() ? Json() : Json(task.adapter)},
                             {"model", task.model.empty() ? Json() : Json(task.model)},
                             {"adapter_bytes", task.adapter_bytes},
                             {"residual_bytes", task.residual_bytes},
                             {"freed_bytes", task.freed_bytes},
                             {"parameters", task.parameters},
                             {"restorable", task.restorable}});
  }
  return json;
}

}  // namespace wshare
