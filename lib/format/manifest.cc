#include "format/manifest.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "format/dtype.h"
#include "format/manifest_read.h"
#include "format/manifest_seal.h"
#include "util/paths.h"
#include "util/suggest.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

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
  tensor.dtype = read_dtype(json);
  tensor.shape = read_shape(json);
  tensor.extent = read_extent(json.at("extent"), manifest);
  tensor.hash = parse_hash(json.at("hash").get<std::string>());
  tensor.folded = json.value("folded", false);
  const std::optional<uint64_t> needed = byte_size(*find_dtype(tensor.dtype), tensor.shape);
  if (needed != tensor.extent.size) {
    throw Error(ErrorCode::kInvalid,
                in_quotes(tensor.name) + ": has " + std::to_string(tensor.extent.size) +
                    " bytes, its shape needs " +
                    (needed ? std::to_string(*needed) : std::string("too many")));
  }
  return tensor;
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
  model.files = read_blob_numbers(json, "files", manifest);
  for (const uint32_t blob : model.files) {
    if (manifest.blobs[blob].hash) continue;
    throw Error(ErrorCode::kInvalid, in_quotes(model.name) + ": " +
                                         in_quotes(manifest.blobs[blob].file) +
                                         " has no hash, so it is no file that nodes name");
  }
  for (const Json& tensor : read_list(json, "tensors"))
    model.tensors.push_back(read_tensor(tensor, manifest));
  return model;
}

PackRecord read_pack(const Json& json, const Manifest& manifest, std::set<std::string>& taken) {
  PackRecord pack;
  pack.model = read_model(json, manifest, taken);
  const std::string& name = find_model(manifest, pack.model.name).name;
  if (find_pack(manifest, name) != nullptr || pack.model.source) {
    throw Error(ErrorCode::kInvalid, in_quotes(name) + ": has two packs, or one with a source");
  }
  for (const Json& buffer : read_list(json, "buffers")) {
    pack.buffers.push_back({read_extent(buffer.at("extent"), manifest),
                            parse_hash(buffer.at("hash").get<std::string>())});
  }
  pack.made_of = parse_hash(json.at("made_of").get<std::string>());
  pack.onnxruntime = json.at("onnxruntime").get<std::string>();
  pack.cpu = json.at("cpu").get<std::string>();
  pack.optimization = json.at("optimization").get<std::string>();
  return pack;
}

BlobRecord read_blob(const Json& json, std::set<std::string>& taken) {
  BlobRecord blob{read_file_name(json.at("file"), taken), read_number(json.at("size"))};
  if (json.contains("hash")) blob.hash = parse_hash(json.at("hash").get<std::string>());
  return blob;
}

Manifest read_manifest(const Json& json) {
  if (!json.is_object() || json.value("format", std::string()) != "wshare-bundle") {
    throw Error(ErrorCode::kInvalid, "is no manifest of a wshare bundle",
                "'wshare dedupe MODEL... -o BUNDLE' makes a bundle");
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
  if (json.contains("packs")) {
    for (const Json& pack : read_list(json, "packs"))
      manifest.packs.push_back(read_pack(pack, manifest, taken));
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
    throw Error(error.code(), in_quotes(path.string()) + ": " + error.what(),
                error.hint().empty() ? "it is damaged: copy the bundle again, or make it anew"
                                     : error.hint());
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
  std::vector<std::string> names;
  for (const ModelRecord& model : manifest.models) {
    if (model.name == name) return model;
    names.push_back(model.name);
  }
  throw Error(ErrorCode::kInvalid, in_quotes(name) + ": no such model in the bundle",
              hint_of_names(std::string(name), names));
}

const PackRecord* find_pack(const Manifest& manifest, std::string_view name) {
  for (const PackRecord& pack : manifest.packs) {
    if (pack.model.name == name) return &pack;
  }
  return nullptr;
}

uint64_t distinct_bytes(const std::vector<BufferRecord>& buffers) {
  std::set<std::pair<uint32_t, uint64_t>> seen;
  uint64_t bytes = 0;
  for (const BufferRecord& buffer : buffers) {
    if (seen.insert({buffer.extent.blob, buffer.extent.offset}).second) bytes += buffer.extent.size;
  }
  return bytes;
}

const TaskRecord* find_task(const Manifest& manifest, std::string_view name) {
  for (const TaskRecord& task : manifest.tasks) {
    if (task.name == name) return &task;
  }
  return nullptr;
}

}  // namespace wshare
