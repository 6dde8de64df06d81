#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "format/dtype.h"
#include "format/manifest.h"
#include "format/manifest_seal.h"
#include "util/parallel.h"

// Models are written one by one, so that a bundle of many models needs no tree of all of them in
// memory; one tensor stands on one line, so that two manifests can be compared.

namespace wshare {
namespace {

using Json = nlohmann::ordered_json;

Json extent_json(const Extent& extent) { return {extent.blob, extent.offset, extent.size}; }

Json source_json(const SourceRecord& source) {
  Json json;
  if (!source.folder.empty()) json["folder"] = source.folder;
  json["file"] = source.file;
  json["size"] = source.size;
  json["graph_hash"] = to_hex(source.graph_hash);
  json["record"] = extent_json(source.record);
  json["record_hash"] = to_hex(source.record_hash);
  if (!source.blobs.empty()) json["blobs"] = source.blobs;
  return json;
}

// Names come from hostile files: bytes that are no UTF-8 are replaced in the text. Tensors are
// found by their place in the list, never by this name alone.
std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string text_of(const Extent& extent) {
  return '[' + std::to_string(extent.blob) + ',' + std::to_string(extent.offset) + ',' +
         std::to_string(extent.size) + ']';
}

Json matrix_json(const MatrixRecord& matrix) {
  Json json{{"extent", extent_json(matrix.extent)}, {"dtype", dtype_name(matrix.dtype)}};
  if (matrix.transposed) json["transposed"] = true;
  return json;
}

Json derivation_json(const DerivationRecord& derivation) {
  Json json = Json::object();
  if (derivation.base) json["base"] = matrix_json(*derivation.base);
  if (derivation.multiplier != 1) json["multiplier"] = derivation.multiplier;
  if (derivation.rank > 0) json["rank"] = derivation.rank;
  if (derivation.left) json["left"] = matrix_json(*derivation.left);
  if (derivation.right) json["right"] = matrix_json(*derivation.right);
  if (derivation.residual.size > 0) json["residual"] = extent_json(derivation.residual);
  if (!derivation.exact) json["exact"] = false;
  if (derivation.relative_error != 0) json["relative_error"] = derivation.relative_error;
  if (derivation.max_abs_error != 0) json["max_abs_error"] = derivation.max_abs_error;
  return json;
}

Json original_json(const OriginalTensor& tensor) {
  Json json;
  if (!tensor.scope.empty()) json["scope"] = std::string(tensor.scope);
  json["name"] = std::string(tensor.name);
  json["dtype"] = dtype_name(tensor.dtype);
  json["shape"] = tensor.shape;
  if (tensor.extent) json["extent"] = extent_json(*tensor.extent);
  if (tensor.derivation) json["derived"] = derivation_json(*tensor.derivation);
  json["hash"] = to_hex(tensor.hash);
  return json;
}

// There may be a hundred thousand of these: a tree of JSON values for each took longer than all
// else that a bundle of many small models needs.
std::string tensor_text(const TensorRecord& tensor) {
  std::string out = "{";
  if (!tensor.scope.empty()) out += "\"scope\":" + dump(std::string(tensor.scope)) + ',';
  out += "\"name\":" + dump(std::string(tensor.name)) + ",\"dtype\":\"" + dtype_name(tensor.dtype) +
         "\",\"shape\":[";
  for (size_t i = 0; i < tensor.shape.size(); ++i) {
    if (i > 0) out += ',';
    out += std::to_string(tensor.shape[i]);
  }
  out += "],\"extent\":" + text_of(tensor.extent) + ",\"hash\":\"" + to_hex(tensor.hash) + '"';
  if (tensor.folded) out += ",\"folded\":true";
  return out + '}';
}

// Appends `items`, already JSON, as an array under `key`, one a line.
void append_lines(std::string& out, std::string_view indent, std::string_view key,
                  const std::vector<std::string>& items) {
  out += indent;
  out += '"';
  out += key;
  out += "\": [";
  for (size_t i = 0; i < items.size(); ++i) {
    out += i == 0 ? "\n" : ",\n";
    out += indent;
    out += ' ';
    out += items[i];
  }
  out += ']';
}

std::string task_text(const TaskRecord& task) {
  std::vector<std::string> parameters, tensors;
  for (const ParameterRecord& parameter : task.parameters) {
    parameters.push_back(dump(Json{{"name", std::string(parameter.name)},
                                   {"dtype", dtype_name(parameter.dtype)},
                                   {"shape", parameter.shape}}));
  }
  for (const OriginalTensor& tensor : task.tensors) tensors.push_back(dump(original_json(tensor)));
  std::string out = "{\"name\": " + dump(task.name) + ",\n  \"base\": " + dump(task.base) + ",\n";
  if (!task.model.empty()) out += "  \"model\": " + dump(task.model) + ",\n";
  if (task.adapter) out += "  \"adapter\": " + std::to_string(*task.adapter) + ",\n";
  if (task.source) out += "  \"source\": " + dump(source_json(*task.source)) + ",\n";
  append_lines(out, "  ", "parameters", parameters);
  out += ",\n";
  append_lines(out, "  ", "tensors", tensors);
  return out + "}";
}

// The keys of a model, `more` before its tensors, without the brace that ends it.
std::string model_keys(const ModelRecord& model, const std::string& more = "") {
  std::vector<std::string> tensors;
  for (const TensorRecord& tensor : model.tensors) tensors.push_back(tensor_text(tensor));
  std::set<uint32_t> blobs;
  for (const TensorRecord& tensor : model.tensors) blobs.insert(tensor.extent.blob);
  std::string out = "{\"name\": " + dump(model.name) + ",\n  \"file\": " + dump(model.file) +
                    ",\n  \"size\": " + std::to_string(model.size) + ",\n  \"hash\": \"" +
                    to_hex(model.hash) + "\",\n  \"blobs\": " + dump(Json(blobs)) + ",\n";
  if (model.source) out += "  \"source\": " + dump(source_json(*model.source)) + ",\n";
  if (!model.files.empty()) out += "  \"files\": " + dump(Json(model.files)) + ",\n";
  out += more;
  append_lines(out, "  ", "tensors", tensors);
  return out;
}

std::string range_text(const Extent& extent, const ContentHash& hash) {
  return "{\"extent\":" + text_of(extent) + ",\"hash\":\"" + to_hex(hash) + "\"}";
}

std::string pack_text(const PackRecord& pack) {
  std::vector<std::string> buffers;
  for (const BufferRecord& buffer : pack.buffers)
    buffers.push_back(range_text(buffer.extent, buffer.hash));
  std::string out =
      model_keys(pack.model, "  \"made_of\": \"" + to_hex(pack.made_of) +
                                 "\",\n  \"onnxruntime\": " + dump(pack.onnxruntime) +
                                 ",\n  \"cpu\": " + dump(pack.cpu) +
                                 ",\n  \"optimization\": " + dump(pack.optimization) + ",\n");
  append_lines(out += ",\n", "  ", "buffers", buffers);
  return out + "}";
}

// An older reader would take what it does not know for damage, or delete what is needed.
int version_of(const Manifest& manifest) {
  const auto needs_blobs = [](const auto& record) {
    return record.source && !record.source->blobs.empty();
  };
  const auto has_files = [](const ModelRecord& model) { return !model.files.empty(); };
  const std::vector<ModelRecord>& models = manifest.models;
  const std::vector<TaskRecord>& tasks = manifest.tasks;
  if (std::any_of(models.begin(), models.end(), needs_blobs) ||
      std::any_of(tasks.begin(), tasks.end(), needs_blobs) ||
      std::any_of(models.begin(), models.end(), has_files)) {
    return kFormatVersion;
  }
  return !manifest.packs.empty() ? 3 : tasks.empty() ? 1 : 2;
}

}  // namespace

std::string name_in_manifest(std::string_view name) {
  const auto is_ascii = [](char c) { return static_cast<unsigned char>(c) < 0x80; };
  if (std::all_of(name.begin(), name.end(), is_ascii)) return std::string(name);
  return Json::parse(dump(std::string(name))).get<std::string>();
}

std::string to_json(const Manifest& manifest, unsigned threads) {
  std::vector<std::string> blobs;
  for (const BlobRecord& blob : manifest.blobs) {
    Json json{{"file", blob.file}, {"size", blob.size}};
    if (blob.hash) json["hash"] = to_hex(*blob.hash);
    blobs.push_back(dump(json));
  }
  std::vector<std::string> models(manifest.models.size());
  parallel_for(models.size(), threads,
               [&](size_t m) { models[m] = model_keys(manifest.models[m]) + "}"; });
  std::vector<std::string> gaps;
  for (const GapRecord& gap : manifest.gaps) gaps.push_back(range_text(gap.extent, gap.hash));
  std::vector<std::string> tasks;
  for (const TaskRecord& task : manifest.tasks) tasks.push_back(task_text(task));
  std::vector<std::string> packs;
  for (const PackRecord& pack : manifest.packs) packs.push_back(pack_text(pack));
  const int version = version_of(manifest);
  std::string out =
      "{\n\"format\": \"wshare-bundle\",\n\"version\": " + std::to_string(version) + ",\n";
  append_lines(out, "", "blobs", blobs);
  out += ",\n";
  append_lines(out, "", "models", models);
  out += ",\n";
  if (!tasks.empty()) {
    append_lines(out, "", "tasks", tasks);
    out += ",\n";
  }
  if (!packs.empty()) {
    append_lines(out, "", "packs", packs);
    out += ",\n";
  }
  append_lines(out, "", "gaps", gaps);
  out += ",\n\"manifest_hash\": \"" + std::string(kSealDigits, '0');
  out += kSealTail;
  out.replace(seal_at(out), kSealDigits, seal_of(out));
  return out;
}

}  // namespace wshare
