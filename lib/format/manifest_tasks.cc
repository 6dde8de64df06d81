#include <algorithm>

#include "format/derived_tensor.h"
#include "format/dtype.h"
#include "format/manifest_read.h"
#include "util/paths.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

std::optional<MatrixRecord> read_matrix(const Json& json, const char* key,
                                        const Manifest& manifest) {
  if (!json.contains(key)) return std::nullopt;
  const Json& matrix = json.at(key);
  return MatrixRecord{read_extent(matrix.at("extent"), manifest), read_dtype(matrix),
                      matrix.value("transposed", false)};
}

DerivationRecord read_derivation(const Json& json, const Manifest& manifest) {
  DerivationRecord derivation;
  derivation.base = read_matrix(json, "base", manifest);
  derivation.multiplier = json.value("multiplier", 1.0);
  if (json.contains("rank")) derivation.rank = read_number(json.at("rank"), UINT32_MAX);
  derivation.left = read_matrix(json, "left", manifest);
  derivation.right = read_matrix(json, "right", manifest);
  const bool has_factors = derivation.left && derivation.right;
  if (has_factors != (derivation.rank > 0) ||
      derivation.left.has_value() != derivation.right.has_value()) {
    throw Error(ErrorCode::kInvalid, "a derived tensor has parts that do not fit together");
  }
  // Two thin factors alone could ask for any number of bytes; a base is as large as the tensor.
  if (!derivation.base) throw Error(ErrorCode::kInvalid, "a derived tensor has no base");
  if (json.contains("residual")) derivation.residual = read_extent(json.at("residual"), manifest);
  derivation.exact = json.value("exact", true);
  derivation.relative_error = json.value("relative_error", 0.0);
  derivation.max_abs_error = json.value("max_abs_error", 0.0);
  return derivation;
}

OriginalTensor read_original(const Json& json, const Manifest& manifest) {
  OriginalTensor tensor;
  tensor.scope = json.value("scope", std::string());
  tensor.name = json.at("name").get<std::string>();
  tensor.dtype = read_dtype(json);
  tensor.shape = read_shape(json);
  tensor.hash = parse_hash(json.at("hash").get<std::string>());
  const std::optional<uint64_t> size = byte_size(*find_dtype(tensor.dtype), tensor.shape);
  if (json.contains("extent")) tensor.extent = read_extent(json.at("extent"), manifest);
  if (json.contains("derived")) {
    tensor.derivation = read_derivation(json.at("derived"), manifest);
  }
  if (tensor.extent.has_value() == tensor.derivation.has_value() || !size ||
      (tensor.extent && tensor.extent->size != *size)) {
    throw Error(ErrorCode::kInvalid,
                in_quotes(tensor.name) + ": its place contradicts its shape and dtype");
  }
  if (tensor.derivation) check_derivation(tensor);
  return tensor;
}

ParameterRecord read_parameter(const Json& json) {
  ParameterRecord parameter{json.at("name").get<std::string>(), read_dtype(json), read_shape(json)};
  if (!byte_size(*find_dtype(parameter.dtype), parameter.shape)) {
    throw Error(ErrorCode::kInvalid, in_quotes(parameter.name) + ": its shape is too large");
  }
  return parameter;
}

bool has_model(const Manifest& manifest, const std::string& name) {
  return std::any_of(manifest.models.begin(), manifest.models.end(),
                     [&](const ModelRecord& model) { return model.name == name; });
}

}  // namespace

TaskRecord read_task(const Json& json, const Manifest& manifest) {
  TaskRecord task;
  task.name = json.at("name").get<std::string>();
  if (!is_file_name(task.name) || find_task(manifest, task.name) != nullptr) {
    throw Error(ErrorCode::kInvalid, in_quotes(task.name) + ": cannot be the name of a task");
  }
  task.base = json.at("base").get<std::string>();
  task.model = json.value("model", std::string());
  for (const std::string& name : {task.base, task.model.empty() ? task.base : task.model}) {
    if (has_model(manifest, name)) continue;
    throw Error(ErrorCode::kInvalid, "task " + in_quotes(task.name) + " needs the model " +
                                         in_quotes(name) + ", which the bundle does not have");
  }
  if (json.contains("adapter")) {
    task.adapter = static_cast<uint32_t>(read_number(json.at("adapter"), UINT32_MAX));
    if (*task.adapter >= manifest.blobs.size() || !manifest.blobs[*task.adapter].hash) {
      throw Error(ErrorCode::kInvalid,
                  "task " + in_quotes(task.name) + ": its adapter is no file of the bundle");
    }
  }
  for (const Json& parameter : read_list(json, "parameters"))
    task.parameters.push_back(read_parameter(parameter));
  if (json.contains("source")) task.source = read_source(json.at("source"), manifest);
  for (const Json& tensor : read_list(json, "tensors"))
    task.tensors.push_back(read_original(tensor, manifest));
  return task;
}

}  // namespace wshare
