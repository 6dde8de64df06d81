#include "format/manifest.h"

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "format/dtype.h"
#include "util/parallel.h"
#include "util/paths.h"
#include "util/text.h"
#include "wshare/error.h"

// The text is one JSON object, its last key "manifest_hash": the hash of the whole text with the 32
// digits of that value replaced by '0'. Models are written one by one, so that a bundle of many
// models needs no tree of all of them in memory; one tensor stands on one line, so that two
// manifests can be compared.

namespace wshare {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kHashDigits = 32;
constexpr std::string_view kTail = "\"\n}\n";  // what follows the digits of manifest_hash

Json extent_json(const Extent& extent) { return {extent.blob, extent.offset, extent.size}; }

Json source_json(const SourceRecord& source) {
  Json json;
  if (!source.folder.empty()) json["folder"] = source.folder;
  json["file"] = source.file;
  json["size"] = source.size;
  json["graph_hash"] = to_hex(source.graph_hash);
  json["record"] = extent_json(source.record);
  json["record_hash"] = to_hex(source.record_hash);
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

// There may be a hundred thousand of these: a tree of JSON values for each took longer than all
// else that a bundle of many small models needs.
std::string tensor_text(const TensorRecord& tensor) {
  std::string out = "{";
  if (!tensor.scope.empty()) out += "\"scope\":" + dump(tensor.scope) + ',';
  out += "\"name\":" + dump(tensor.name) + ",\"dtype\":" + dump(tensor.dtype) + ",\"shape\":[";
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

std::string model_text(const ModelRecord& model) {
  std::vector<std::string> tensors;
  for (const TensorRecord& tensor : model.tensors) tensors.push_back(tensor_text(tensor));
  std::set<uint32_t> blobs;
  for (const TensorRecord& tensor : model.tensors) blobs.insert(tensor.extent.blob);
  std::string out = "{\"name\": " + dump(model.name) + ",\n  \"file\": " + dump(model.file) +
                    ",\n  \"size\": " + std::to_string(model.size) + ",\n  \"hash\": \"" +
                    to_hex(model.hash) + "\",\n  \"blobs\": " + dump(Json(blobs)) +
                    ",\n  \"source\": " + dump(source_json(model.source)) + ",\n";
  append_lines(out, "  ", "tensors", tensors);
  return out + "}";
}

// ---- reading ----

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
  model.source = read_source(json.at("source"), manifest);
  for (const Json& tensor : read_list(json, "tensors"))
    model.tensors.push_back(read_tensor(tensor, manifest));
  return model;
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
  for (const Json& blob : read_list(json, "blobs")) {
    manifest.blobs.push_back(
        {read_file_name(blob.at("file"), taken), read_number(blob.at("size"))});
  }
  for (const Json& model : read_list(json, "models"))
    manifest.models.push_back(read_model(model, manifest, taken));
  for (const Json& gap : read_list(json, "gaps")) {
    manifest.gaps.push_back(
        {read_extent(gap.at("extent"), manifest), parse_hash(gap.at("hash").get<std::string>())});
  }
  return manifest;
}

// Returns the offset of the digits of manifest_hash.
size_t hash_digits_at(std::string_view json) {
  if (json.size() < kHashDigits + kTail.size() || !json.ends_with(kTail)) {
    throw Error(ErrorCode::kInvalid, "does not end with its manifest_hash");
  }
  return json.size() - kTail.size() - kHashDigits;
}

ContentHash hash_of(std::string json) {
  json.replace(hash_digits_at(json), kHashDigits, kHashDigits, '0');
  return content_hash(std::as_bytes(std::span(json)));
}

}  // namespace

std::string to_json(const Manifest& manifest, unsigned threads) {
  std::vector<std::string> blobs;
  for (const BlobRecord& blob : manifest.blobs) {
    blobs.push_back(dump(Json{{"file", blob.file}, {"size", blob.size}}));
  }
  std::vector<std::string> models(manifest.models.size());
  parallel_for(models.size(), threads,
               [&](size_t m) { models[m] = model_text(manifest.models[m]); });
  std::vector<std::string> gaps;
  for (const GapRecord& gap : manifest.gaps) {
    gaps.push_back(dump(Json{{"extent", extent_json(gap.extent)}, {"hash", to_hex(gap.hash)}}));
  }
  std::string out =
      "{\n\"format\": \"wshare-bundle\",\n\"version\": " + std::to_string(kFormatVersion) + ",\n";
  append_lines(out, "", "blobs", blobs);
  out += ",\n";
  append_lines(out, "", "models", models);
  out += ",\n";
  append_lines(out, "", "gaps", gaps);
  out += ",\n\"manifest_hash\": \"" + std::string(kHashDigits, '0');
  out += kTail;
  out.replace(hash_digits_at(out), kHashDigits, to_hex(hash_of(out)));
  return out;
}

Manifest parse_manifest(std::string_view text) {
  try {
    Manifest manifest = read_manifest(Json::parse(text));
    if (text.substr(hash_digits_at(text), kHashDigits) != to_hex(hash_of(std::string(text)))) {
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

}  // namespace wshare
