#include <cstring>
#include <nlohmann/json.hpp>

#include "format/dtype.h"
#include "runtime/c_api/guard.h"
#include "runtime/session_parts.h"
#include "wshare/runtime_c.h"

// Sessions that others make, for the C API: catalogs, plans, tasks. All of it is asked before and
// between runs, never during one, and by languages that read JSON.

namespace wshare {
namespace {

using Json = nlohmann::ordered_json;

// Names in a bundle may be any bytes.
std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json json_of(const SessionPlan& plan, const Way& way) {
  const ModelRecord& model = way.pack == nullptr ? plan.part.model : way.pack->model;
  Json json;
  json["way"] = way.pack != nullptr ? "packed" : way.lent.empty() ? "mapped" : "lent";
  json["file"] = model.file;
  json["path"] = plan.bundle->folder->path_of(model.file).string();
  json["optimise"] = way.pack == nullptr;
  json["config"] = Json::object();
  if (!way.lent.empty()) json["config"][kTakeInPlaceEntry] = "1";
  json["lend"] = Json::array();
  for (const uint32_t blob : way.lent)
    json["lend"].push_back(plan.bundle->files.records()[blob].file);
  return json;
}

Json json_of(const PackVerdict& verdict) {
  const PackRecord& pack = *verdict.pack;
  return {{"file", pack.model.file},
          {"onnxruntime", pack.onnxruntime},
          {"cpu", pack.cpu},
          {"optimization", pack.optimization},
          {"packed_bytes", distinct_bytes(pack.buffers)},
          {"why_not", verdict.why_not}};
}

std::string json_of(const SessionPlan& plan) {
  const ModelRecord& model = plan.part.model;
  uint64_t weights = 0;
  for (const TensorRecord& tensor : model.tensors) weights += tensor.extent.size;
  Json json = {{"model", model.name},     {"file", model.file},    {"file_bytes", model.size},
               {"weight_bytes", weights}, {"ways", Json::array()}, {"packs", Json::array()},
               {"why", plan.why}};
  for (const Way& way : plan.ways) json["ways"].push_back(json_of(plan, way));
  for (const PackVerdict& verdict : plan.packs) json["packs"].push_back(json_of(verdict));
  return dump(json);
}

std::string json_of(const PlannedTask& task) {
  Json json = {{"task", task.record.name}, {"file", task.file}, {"path", ""}};
  if (!task.file.empty()) json["path"] = task.bundle->folder->path_of(task.file).string();
  json["parameters"] = Json::array();
  for (const ParameterRecord& parameter : task.record.parameters)
    json["parameters"].push_back(std::string(parameter.name));
  return dump(json);
}

SessionInput input_of(const Json& json) {
  SessionInput input;
  const std::optional<Dtype> dtype =
      find_dtype(std::string_view(json.at("type").get<std::string>()));
  input.dtype = dtype ? dtype->code : 0;
  input.has_default = json.at("has_default").get<bool>();
  for (const Json& dim : json.at("shape")) {
    input.shape.push_back(dim.is_number_integer() ? dim.get<int64_t>() : -1);
    input.symbols.push_back(dim.is_string() ? dim.get<std::string>() : "");
  }
  return input;
}

SessionInputs inputs_in(const char* text) {
  try {
    SessionInputs inputs;
    for (const Json& json : Json::parse(text))
      inputs.emplace(json.at("name").get<std::string>(), input_of(json));
    return inputs;
  } catch (const Json::exception& error) {
    throw Error(ErrorCode::kInvalid, std::string("argument 'inputs': ") + error.what());
  }
}

PlanRequest request_of(const wshare_plan_request* given) {
  require(given, "request");
  wshare_plan_request known{};
  if (given->struct_size < offsetof(wshare_plan_request, optimization) ||
      given->struct_size > UINT16_MAX) {  // one that was not set is most likely random
    throw Error(ErrorCode::kInvalid, "struct_size is " + std::to_string(given->struct_size),
                "set it to sizeof(wshare_plan_request)");
  }
  std::memcpy(&known, given, std::min<size_t>(given->struct_size, sizeof known));
  require(known.onnxruntime, "request->onnxruntime");
  return {known.onnxruntime,
          {known.on_device != 0, known.packing_off != 0},
          text_or_empty(known.optimization),
          known.own_files == 0};
}

}  // namespace
}  // namespace wshare

using namespace wshare;

wshare_error* wshare_catalog_open(const char* folder, wshare_catalog** catalog) {
  return guard([&] {
    require_result(catalog, "catalog");
    require(folder, "folder");
    *catalog = new wshare_catalog{Catalog::open(folder)};
  });
}

void wshare_catalog_close(wshare_catalog* catalog) { delete catalog; }

wshare_error* wshare_catalog_reload(wshare_catalog* catalog, int* changed) {
  return guard([&] {
    if (changed != nullptr) *changed = 0;
    require(catalog, "catalog");
    const bool is_new = catalog->catalog.reload();
    if (changed != nullptr) *changed = is_new ? 1 : 0;
  });
}

wshare_error* wshare_catalog_models(const wshare_catalog* catalog, wshare_names** models) {
  return guard([&] {
    require_result(models, "models");
    require(catalog, "catalog");
    *models = new wshare_names{catalog->catalog.models()};
  });
}

wshare_error* wshare_catalog_tasks(const wshare_catalog* catalog, const char* base,
                                   wshare_names** tasks) {
  return guard([&] {
    require_result(tasks, "tasks");
    require(catalog, "catalog");
    require(base, "base");
    *tasks = new wshare_names{catalog->catalog.tasks(base)};
  });
}

wshare_error* wshare_catalog_plan(const wshare_catalog* catalog, const char* model,
                                  const wshare_plan_request* request, wshare_plan** plan) {
  return guard([&] {
    require_result(plan, "plan");
    require(catalog, "catalog");
    require(model, "model");
    auto made = std::make_unique<wshare_plan>(
        wshare_plan{catalog->catalog.plan(model, request_of(request)), {}});
    made->json = json_of(made->plan);
    *plan = made.release();
  });
}

void wshare_plan_close(wshare_plan* plan) { delete plan; }

const char* wshare_plan_json(const wshare_plan* plan) {
  return plan == nullptr ? "" : plan->json.c_str();
}

wshare_error* wshare_plan_map(const wshare_plan* plan, const char* file, const void** bytes,
                              uint64_t* size) {
  return guard([&] {
    require_result(bytes, "bytes");
    require_result(size, "size");
    require(plan, "plan");
    require(file, "file");
    const StoredFiles& files = plan->plan.bundle->files;
    for (const uint32_t blob : blobs_of(plan->plan.part.model)) {
      if (files.records()[blob].file != file) continue;
      *bytes = files.blob(blob).bytes().data();
      *size = files.blob(blob).bytes().size();
      return;
    }
    throw Error(ErrorCode::kInvalid, in_quotes(file) + ": no weights of " +
                                         in_quotes(plan->plan.part.model.name) +
                                         " are in a file of this name");
  });
}

wshare_error* wshare_plan_check(const wshare_plan* plan) {
  return guard([&] {
    require(plan, "plan");
    plan->plan.check();
  });
}

wshare_error* wshare_plan_task(const wshare_plan* plan, const char* task, const char* inputs,
                               wshare_task** result) {
  return guard([&] {
    require_result(result, "result");
    require(plan, "plan");
    require(task, "task");
    require(inputs, "inputs");
    auto made = std::make_unique<wshare_task>(
        wshare_task{plan_task(plan->plan, task, inputs_in(inputs)), {}});
    made->json = json_of(made->task);
    *result = made.release();
  });
}

const char* wshare_task_json(const wshare_task* task) {
  return task == nullptr ? "" : task->json.c_str();
}

void wshare_task_free(wshare_task* task) { delete task; }
