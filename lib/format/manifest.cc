#include "format/manifest.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "format/dtype.h"
#include "format/manifest_seal.h"
#include "util/paths.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

using Json = nlohmann::ordered_json;

// nlohmann converts numbers silently (-1 to 2^64-1, 1.5 to 1): sizes must be written as what they
// are.
uint64_t read_number(const Json& json, uint64_t largest = (uint64_t{1} << 63) - 1) {
  if (!json.is_number_unsigned() || json.get<uint64_t>() > largest) {
    throw Error(ErrorCode::kInvalid,
                json.dump() + ": is no number of 0 to " + std::to_string(largest));
  }
  return json.get<uint64_t>();
}

// nlohmann walks null and objects like lists.
const Json& read_list(const Json& json, const char* key) {
  const Json& list = json.at(key);
  if (!list.is_array()) throw Error(ErrorCode::kInvalid, in_quotes(key) + ": is no list");
  return list;
}

Extent read_extent(const Json& json, const Manifest& manifest) {
  if (json.size() != 3)
    throw Error(ErrorCode::kInvalid, "an extent is no list of blob, offset, size");
  const Extent extent{static_cast<uint32_t>(read_number(json.at(0), UINT32_MAX)),
                      read_number(json.at(1)), read_number(json.at(2))};
  if (extent.blob >= manifest.blobs.size()) {
    throw Error(ErrorCode::kInvalid, "an extent names blob " + std::to_string(extent.blob) +
                                         ", there are " + std::to_string(manifest.blobs.size()));
  }
  const BlobRecord& blob = manifest.blobs[extent.blob];
  if (extent.offset > blob.size || extent.size > blob.size - extent.offset) {
    throw Error(ErrorCode::kInvalid, "extent of " + std::to_string(extent.size) + " bytes at " +
                                         std::to_string(extent.offset) + " leaves " +
                                         in_quotes(blob.file) + " of " + std::to_string(blob.size) +
                                         " bytes");
  }
  return extent;
}

std::string read_file_name(const Json& json, std::set<std::string>& taken) {
  std::string name = json.get<std::string>();
  if (!is_file_name(name)) throw Error(ErrorCode::kInvalid, in_quotes(name) + ": unsafe file name");
  if (!taken.insert(name).second) {
    throw Error(ErrorCode::kInvalid, in_quotes(name) + ": named by two records");
  }
  return name;
}

TensorRecord read_tensor(const Json& json, const Manifest& manifest) {
  TensorRecord tensor;
  tensor.scope = json.value("scope", std::string());
  tensor.name = json.at("name").get<std::string>();
  tensor.dtype = json.at("dtype").get<std::string>();
  tensor.shape = json.at("shape").get<std::vector<int64_t>>();
  tensor.extent = read_extent(json.at("extent"), manifest);
  tensor.hash = parse_hash(json.at("hash").get<std::string>());
  tensor.folded = json.value("folded", false);
  const std::optional<Dtype> dtype = find_dtype(std::string_view(tensor.dtype));
  if (!dtype)
    throw Error(ErrorCode::kInvalid,
                in_quotes(tensor.name) + ": unknown dtype " + in_quotes(tensor.dtype));
  const std::optional<uint64_t> needed = byte_size(*dtype, tensor.shape);
  if (needed != tensor.extent.size) {
    throw Error(ErrorCode::kInvalid,
                in_quotes(tensor.name) + ": has " + std::to_string(tensor.extent.size) +
                    " bytes, its shape needs " +
                    (needed ? std::to_string(*needed) : std::string("too many")));
  }
  return tensor;
}

SourceRecord read_source(const Json& json, const Manifest& manifest) {
  SourceRecord source;
  source.folder = json.value("folder", std::string());
  source.file = json.at("file").get<std::string>();
  if ((!source.folder.empty() && !is_file_name(source.folder)) || !is_file_name(source.file)) {
    throw Error(ErrorCode::kInvalid,
                in_quotes(source.folder + "/" + source.file) + ": unsafe source name");
  }
  source.size = read_number(json.at("size"));
  source.graph_hash = parse_hash(json.at("graph_hash").get<std::string>());
  source.record = read_extent(json.at("record"), manifest);
  source.record_hash = parse_hash(json.at("record_hash").get<std::string>());
  return source;
}

ModelRecord read_model(const Json& json, const Manifest& manifest, std::set<std::string>& taken) {
  ModelRecord model;
  model.name = json.at("name").get<std::string>();
  if (!is_file_name(model.name)) {
    throw Error(ErrorCode::kInvalid, in_quotes(model.name) + ": cannot be the name of a model");
  }
  model.file = read_file_name(json.at("file"), taken);
  model.size = read_number(json.at("size"));
  model.hash = parse_hash(json.at("hash").get<std::string>());
  if (json.contains("source")) model.source = read_source(json.at("source"), manifest);
  for (const Json& tensor : read_list(json, "tensors"))
    model.tensors.push_back(read_tensor(tensor, manifest));
  return model;
}

std::string read_dtype(const Json& json) {
  std::string name = json.at("dtype").get<std::string>();
  if (!find_dtype(std::string_view(name)))
    throw Error(ErrorCode::kInvalid, "unknown dtype " + in_quotes(name));
  return name;
}

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
  if (has_factors != (derivation.rank > 0) || derivation.left.has_value() != has_factors ||
      (!derivation.base && !has_factors)) {
    throw Error(ErrorCode::kInvalid, "a derived tensor has parts that do not fit together");
  }
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
  tensor.shape = json.at("shape").get<std::vector<int64_t>>();
  tensor.hash = parse_hash(json.at("hash").get<std::string>());
  const std::optional<uint64_t> size =
      byte_size(*find_dtype(std::string_view(tensor.dtype)), tensor.shape);
  if (json.contains("extent")) tensor.extent = read_extent(json.at("extent"), manifest);
  if (json.contains("derived")) {
    tensor.derivation = read_derivation(json.at("derived"), manifest);
  }
  if (tensor.extent.has_value() == tensor.derivation.has_value() || !size ||
      (tensor.extent && tensor.extent->size != *size)) {
    throw Error(ErrorCode::kInvalid,
                in_quotes(tensor.name) + ": its place contradicts its shape and dtype");
  }
  return tensor;
}

bool has_model(const Manifest& manifest, const std::string& name) {
  return std::any_of(manifest.models.begin(), manifest.models.end(),
                     [&](const ModelRecord& model) { return model.name == name; });
}

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
  for (const Json& parameter : read_list(json, "parameters")) {
    task.parameters.push_back({parameter.at("name").get<std::string>(), read_dtype(parameter),
                               parameter.at("shape").get<std::vector<int64_t>>()});
  }
  if (json.contains("source")) task.source = read_source(json.at("source"), manifest);
  for (const Json& tensor : read_list(json, "tensors"))
    task.tensors.push_back(read_original(tensor, manifest));
  return task;
}

BlobRecord read_blob(const Json& json, std::set<std::string>& taken) {
  BlobRecord blob{read_file_name(json.at("file"), taken), read_number(json.at("size"))};
  if (json.contains("hash")) blob.hash = parse_hash(json.at("hash").get<std::string>());
  return blob;
}

Manifest read_manifest(const Json& json) {
  if (!json.is_object() || json.value("format", std::string()) != "wshare-bundle") {
    throw Error(ErrorCode::kInvalid, "is no manifest of a wshare bundle");
  }
  const Json& number = json.at("version");
  const uint64_t version = read_number(number, UINT64_MAX);
  if (version == 0) throw Error(ErrorCode::kInvalid, "has version 0, which never was");
  if (version > kFormatVersion) {
    throw Error(ErrorCode::kUnsupported,
                "bundle format " + std::to_string(version) +
                    " is newer than this wshare, which reads up to " +
                    std::to_string(kFormatVersion),
                "use a newer wshare");
  }
  Manifest manifest;
  std::set<std::string> taken = {kManifestName};
  for (const Json& blob : read_list(json, "blobs"))
    manifest.blobs.push_back(read_blob(blob, taken));
  for (const Json& model : read_list(json, "models"))
    manifest.models.push_back(read_model(model, manifest, taken));
  if (json.contains("tasks")) {
    for (const Json& task : read_list(json, "tasks"))
      manifest.tasks.push_back(read_task(task, manifest));
  }
  for (const Json& gap : read_list(json, "gaps")) {
    manifest.gaps.push_back(
        {read_extent(gap.at("extent"), manifest), parse_hash(gap.at("hash").get<std::string>())});
  }
  return manifest;
}

}  // namespace

Manifest parse_manifest(std::string_view text) {
  try {
    Manifest manifest = read_manifest(Json::parse(text));
    if (text.substr(seal_at(text), kSealDigits) != seal_of(std::string(text))) {
      throw Error(ErrorCode::kInvalid, "was changed: its manifest_hash does not fit its text");
    }
    return manifest;
  } catch (const nlohmann::json::exception& error) {
    throw Error(ErrorCode::kInvalid, "no valid manifest: " + std::string(error.what()));
  }
}

Manifest load_manifest(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / kManifestName;
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  if (!file) {
    throw Error(ErrorCode::kIo,
                in_quotes(folder.string()) + ": is no bundle: cannot read manifest.json",
                "'wshare dedupe MODEL... -o BUNDLE' makes one");
  }
  try {
    return parse_manifest(text.str());
  } catch (const Error& error) {
    throw Error(error.code(), in_quotes(path.string()) + ": " + error.what(), error.hint());
  }
}

std::span<const std::byte> slice(std::span<const std::byte> blob, const Extent& extent) {
  if (extent.offset > blob.size() || extent.size > blob.size() - extent.offset) {
    throw Error(ErrorCode::kInvalid, "extent of " + std::to_string(extent.size) + " bytes at " +
                                         std::to_string(extent.offset) + " leaves a blob of " +
                                         std::to_string(blob.size()) + " bytes");
  }
  return blob.subspan(static_cast<size_t>(extent.offset), static_cast<size_t>(extent.size));
}

const ModelRecord& find_model(const Manifest& manifest, std::string_view name) {
  std::string names;
  for (const ModelRecord& model : manifest.models) {
    if (model.name == name) return model;
    names += (names.empty() ? "" : ", ") + in_quotes(model.name);
  }
  throw Error(ErrorCode::kInvalid, in_quotes(name) + ": no such model in the bundle",
              "it has " + names);
}

const TaskRecord* find_task(const Manifest& manifest, std::string_view name) {
  for (const TaskRecord& task : manifest.tasks) {
    if (task.name == name) return &task;
  }
  return nullptr;
}

}  // namespace wshare
