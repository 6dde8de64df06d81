#include <nlohmann/json.hpp>

#include "inspect_report.h"

// The form is docs/inspect.schema.json.

namespace wshare {
namespace {

using Json = nlohmann::ordered_json;

// Puts up to `longest` of `items` into json[key], each as `to_json` gives it, and says how many are
// left out.
template <typename Item, typename ToJson>
void put_list(Json& json, const std::string& key, const std::vector<Item>& items, uint64_t longest,
              const ToJson& to_json) {
  Json& list = json[key] = Json::array();
  for (const Item& item : items) {
    if (list.size() == longest) break;
    list.push_back(to_json(item));
  }
  if (items.size() > longest) json[key + "_more"] = items.size() - longest;
}

Json text_json(const std::string& text) { return text; }

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
  Json json = {{"tensor", tensor.tensor}, {"scope", tensor.scope},    {"dtype", tensor.dtype},
               {"shape", tensor.shape},   {"bytes", tensor.bytes},    {"home", tensor.home},
               {"op", tensor.op},         {"also_in", tensor.also_in}};
  if (tensor.also_in_more > 0) json["also_in_more"] = tensor.also_in_more;
  return json;
}

Json model_json(const InspectedModel& model, uint64_t longest) {
  Json json = {{"name", model.name},
               {"path", model.path},
               {"same_as", model.same_as.empty() ? Json() : Json(model.same_as)},
               {"bytes", model.bytes},
               {"tensor_bytes", model.tensor_bytes},
               {"tensors", model.tensors},
               {"own_bytes", model.own_bytes},
               {"shared_bytes", model.shared_bytes},
               {"repeated_bytes", model.repeated_bytes},
               {"saved_bytes", model.saved_bytes},
               {"freed_bytes", model.freed_bytes ? Json(*model.freed_bytes) : Json()}};
  json["by_dtype"] = counts_json(model.by_dtype, "dtype");
  json["by_home"] = counts_json(model.by_home, "home");
  json["by_op"] = counts_json(model.by_op, "op");
  json["by_scope"] = counts_json(model.by_scope, "scope");
  json["left_inline"] = counts_json(model.left_inline, "reason");
  json["largest"] = Json::array();
  for (const InspectedTensor& tensor : model.largest)
    json["largest"].push_back(tensor_json(tensor));
  put_list(json, "external", model.external, longest, [](const InspectedFile& file) -> Json {
    return {{"file", file.file},
            {"bytes", file.bytes ? Json(*file.bytes) : Json()},
            {"needed", file.needed},
            {"complete", file.complete()}};
  });
  return json;
}

Json duplicate_json(const Duplicate& duplicate, uint64_t longest) {
  Json json = {{"hash", duplicate.hash}, {"bytes", duplicate.bytes}};
  put_list(json, "uses", duplicate.uses, longest, use_json);
  return json;
}

Json finding_json(const Finding& finding, uint64_t longest) {
  Json json = {{"id", finding.id}, {"bytes", finding.bytes}};
  put_list(json, "places", finding.places, longest, [](const FindingPlace& place) -> Json {
    return {{"model", place.use.model}, {"scope", place.use.scope}, {"tensor", place.use.tensor},
            {"file", place.file},       {"bytes", place.bytes},     {"note", place.note}};
  });
  return json;
}

Json extract_json(const ExtractEstimate& estimate, uint64_t longest) {
  Json json = {{"base", estimate.base}, {"saved_bytes", estimate.saved_bytes}};
  put_list(json, "tasks", estimate.tasks, longest, [](const ExtractableTask& task) -> Json {
    return {{"model", task.model},
            {"weights", task.weights},
            {"bytes", task.bytes},
            {"adapter_bytes", task.adapter_bytes},
            {"residual_bytes", task.residual_bytes},
            {"largest_rank", task.largest_rank}};
  });
  return json;
}

Json pack_json(const InspectedPack& pack) {
  return {{"model", pack.model},
          {"file", pack.file},
          {"bytes", pack.bytes},
          {"packed_bytes", pack.packed_bytes},
          {"onnxruntime", pack.onnxruntime},
          {"cpu", pack.cpu},
          {"optimization", pack.optimization},
          {"current", pack.current}};
}

Json task_json(const InspectedTask& task) {
  return {{"name", task.name},
          {"base", task.base},
          {"adapter", task.adapter.empty() ? Json() : Json(task.adapter)},
          {"model", task.model.empty() ? Json() : Json(task.model)},
          {"adapter_bytes", task.adapter_bytes},
          {"residual_bytes", task.residual_bytes},
          {"freed_bytes", task.freed_bytes},
          {"parameters", task.parameters},
          {"restorable", task.restorable}};
}

// The models of the matrix; where there is none, the first ones.
void put_models(Json& json, const Inspection& inspection, uint64_t longest) {
  std::vector<const InspectedModel*> models;
  for (const size_t m : inspection.compared_models) models.push_back(&inspection.models[m]);
  for (size_t m = 0; !inspection.compared && m < inspection.models.size(); ++m)
    models.push_back(&inspection.models[m]);
  put_list(json, "models", models, longest,
           [&](const InspectedModel* model) { return model_json(*model, longest); });
  const size_t left_out = inspection.models.size() - json["models"].size();
  if (left_out > 0) json["models_more"] = left_out;
}

}  // namespace

Json to_json(const Inspection& inspection, uint64_t longest) {
  const bool is_bundle = !inspection.bundle.empty();
  const uint64_t longest_inside = longest == UINT64_MAX ? longest : kMostNamed;
  Json json;
  json["schema"] = "wshare.inspect/1";
  if (is_bundle) json["bundle"] = inspection.bundle;
  put_models(json, inspection, longest);
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
  put_list(json, "duplicates", inspection.duplicates, longest,
           [&](const Duplicate& duplicate) { return duplicate_json(duplicate, longest_inside); });
  put_list(json, "transposed", inspection.twins, longest, [](const TransposedTwin& twin) -> Json {
    return {{"bytes", twin.bytes},
            {"tensor", use_json(twin.tensor)},
            {"transpose_of", use_json(twin.transpose_of)}};
  });
  json["matrix"] = inspection.matrix;
  put_list(json, "relations", inspection.relations, longest,
           [](const ModelRelation& relation) -> Json {
             return {{"model", relation.model},
                     {"of", relation.of},
                     {"kind", relation.kind},
                     {"weights", relation.weights},
                     {"weights_total", relation.weights_total},
                     {"own_bytes", relation.own_bytes},
                     {"predicted_bytes", relation.predicted_bytes}};
           });
  json["extract"] = inspection.extract ? extract_json(*inspection.extract, longest) : Json();
  put_list(json, "findings", inspection.findings, longest,
           [&](const Finding& finding) { return finding_json(finding, longest); });
  if (!is_bundle) return json;
  put_list(json, "blobs", inspection.blobs, longest, [&](const InspectedBlob& blob) {
    Json blob_json = {{"file", blob.file}, {"bytes", blob.bytes}};
    put_list(blob_json, "models", blob.models, longest_inside, text_json);
    return blob_json;
  });
  if (!inspection.packs.empty()) put_list(json, "packs", inspection.packs, longest, pack_json);
  if (!inspection.archived.empty()) {
    put_list(json, "archived", inspection.archived, longest,
             [](const InspectedArchive& model) -> Json {
               return {{"name", model.name},
                       {"base", model.base.empty() ? Json() : Json(model.base)},
                       {"bytes", model.bytes},
                       {"archived_bytes", model.archived_bytes}};
             });
  }
  if (!inspection.tasks.empty()) put_list(json, "tasks", inspection.tasks, longest, task_json);
  return json;
}

}  // namespace wshare
