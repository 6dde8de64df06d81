#include "format/oci.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "format/json_reader.h"
#include "util/sha256.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare::oci {
namespace {

using Json = nlohmann::ordered_json;

// Two specifications say what a layer's file is called: oras, CRI-O and podman read the first,
// modctl and ModelPack's client the second.
constexpr char kTitleKey[] = "org.opencontainers.image.title";
constexpr char kPathKey[] = "org.cncf.model.filepath";
constexpr std::string_view kDigestPrefix = "sha256:";
constexpr size_t kMostLayers = 20000;

[[noreturn]] void fail(const std::string& what) { throw Error(ErrorCode::kInvalid, what); }

std::string read_digest(JsonReader& json) {
  const std::string_view text = json.text();
  if (!text.starts_with(kDigestPrefix) || !is_sha256(text.substr(kDigestPrefix.size())))
    fail("names a blob by " + in_quotes(text) + ", which is no SHA-256");
  return std::string(text.substr(kDigestPrefix.size()));
}

void read_annotations(JsonReader& json, Blob& descriptor) {
  std::optional<std::string> title, path;
  json.object({}, [&](std::string_view key) {
    if (key == kTitleKey) title = json.text();
    if (key == kPathKey) path = json.text();
    if (key == kTagKey) descriptor.tag = json.text();
  });
  if (title && path && *title != *path)
    fail("calls one layer " + in_quotes(*title) + " and " + in_quotes(*path));
  descriptor.file = title ? *title : path.value_or("");
}

Blob read_descriptor(JsonReader& json) {
  Blob descriptor;
  json.object({"mediaType", "digest", "size"}, [&](std::string_view key) {
    if (key == "mediaType") descriptor.media_type = json.text();
    if (key == "digest") descriptor.digest = read_digest(json);
    if (key == "size") descriptor.size = json.number();
    if (key == "artifactType") descriptor.artifact_type = json.text();
    if (key == "annotations") read_annotations(json, descriptor);
  });
  return descriptor;
}

void check_version(JsonReader& json) {
  const uint64_t version = json.number();
  if (version != 2) fail("has schemaVersion " + std::to_string(version) + ", not 2");
}

Json to_tree(const Blob& descriptor) {
  Json json{{"mediaType", descriptor.media_type}};
  if (!descriptor.artifact_type.empty()) json["artifactType"] = descriptor.artifact_type;
  json["digest"] = std::string(kDigestPrefix) + descriptor.digest;
  json["size"] = descriptor.size;
  if (!descriptor.file.empty())
    json["annotations"] = {{kTitleKey, descriptor.file}, {kPathKey, descriptor.file}};
  if (!descriptor.tag.empty()) json["annotations"][kTagKey] = descriptor.tag;
  return json;
}

Json digests_of(const std::vector<Blob>& layers) {
  Json digests = Json::array();
  for (const Blob& layer : layers) digests.push_back(std::string(kDigestPrefix) + layer.digest);
  return digests;
}

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

// Source: OCI distribution specification, "Pulling manifests".
bool is_tag(std::string_view tag) {
  return !tag.empty() && tag.size() <= 128 && is_word(tag[0]) &&
         std::all_of(tag.begin(), tag.end(),
                     [](char c) { return is_word(c) || c == '.' || c == '-'; });
}

}  // namespace

const Blob* Index::find(std::string_view tag) const {
  for (const Entry& entry : manifests) {
    if (entry.descriptor.tag == tag) return &entry.descriptor;
  }
  return nullptr;
}

void parse_layout(std::string_view text) {
  JsonReader json(text);
  std::string version;
  json.object({"imageLayoutVersion"}, [&](std::string_view key) {
    if (key == "imageLayoutVersion") version = json.text();
  });
  json.finish();
  if (version == "1.0.0") return;
  throw Error(ErrorCode::kUnsupported,
              "is a layout of version " + in_quotes(version) + "; this wshare knows 1.0.0");
}

Index parse_index(std::string_view text) {
  Index index;
  JsonReader json(text);
  json.object({"schemaVersion", "manifests"}, [&](std::string_view key) {
    if (key == "schemaVersion") check_version(json);
    if (key == "annotations") index.annotations = json.raw_object();
    if (key != "manifests") return;
    json.list([&] {
      Index::Entry& entry = index.manifests.emplace_back();
      entry.text = json.raw_object();
      JsonReader one(entry.text);
      entry.descriptor = read_descriptor(one);
      one.finish();
    });
  });
  json.finish();
  return index;
}

ImageManifest parse_manifest(std::string_view text) {
  ImageManifest manifest;
  std::string type = kManifestType;  // may be left out
  JsonReader json(text);
  json.object({"schemaVersion", "config", "layers"}, [&](std::string_view key) {
    if (key == "schemaVersion") check_version(json);
    if (key == "mediaType") type = json.text();
    if (key == "artifactType") manifest.artifact_type = json.text();
    if (key == "config") manifest.config = read_descriptor(json);
    if (key != "layers") return;
    json.list([&] {
      if (manifest.layers.size() == kMostLayers)
        fail("has over " + std::to_string(kMostLayers) + " layers");
      manifest.layers.push_back(read_descriptor(json));
    });
  });
  json.finish();
  if (type != kManifestType) fail("is of the type " + in_quotes(type));
  return manifest;
}

std::string to_json(const ImageManifest& manifest) {
  Json json{{"schemaVersion", 2}, {"mediaType", kManifestType}};
  if (!manifest.artifact_type.empty()) json["artifactType"] = manifest.artifact_type;
  json["config"] = to_tree(manifest.config);
  json["layers"] = Json::array();
  for (const Blob& layer : manifest.layers) json["layers"].push_back(to_tree(layer));
  return json.dump();
}

std::string to_json(const Index& index) {
  std::string text =
      R"({"schemaVersion":2,"mediaType":")" + std::string(kIndexType) + R"(","manifests":[)";
  for (size_t i = 0; i < index.manifests.size(); ++i)
    text += (i == 0 ? "" : ",") + index.manifests[i].text;
  text += ']';
  if (!index.annotations.empty()) text += ",\"annotations\":" + index.annotations;
  return text + '}';
}

Index with_manifest(Index index, const Blob& manifest) {
  std::erase_if(index.manifests,
                [&](const Index::Entry& entry) { return entry.descriptor.tag == manifest.tag; });
  index.manifests.push_back({manifest, to_tree(manifest).dump()});
  return index;
}

std::string model_config(const std::vector<Blob>& layers) {
  return Json{{"descriptor", {{"name", "wshare-bundle"}}},
              {"config", {{"format", "onnx"}}},
              {"modelfs", {{"type", "layers"}, {"diffIds", digests_of(layers)}}}}
      .dump();
}

std::string image_config(const std::vector<Blob>& layers, std::string_view architecture) {
  return Json{{"architecture", architecture},
              {"os", "linux"},
              {"config", Json::object()},
              {"rootfs", {{"type", "layers"}, {"diff_ids", digests_of(layers)}}}}
      .dump();
}

Reference parse_reference(const std::string& text) {
  const size_t slash = text.rfind('/');
  const size_t colon = text.find(':', slash == std::string::npos ? 0 : slash);
  if (colon == std::string::npos) return {text, ""};
  Reference reference{text.substr(0, colon), text.substr(colon + 1)};
  if (reference.layout.empty() || !is_tag(reference.tag)) {
    throw Error(
        ErrorCode::kInvalid,
        in_quotes(text) + ": is no LAYOUT:TAG; a tag has letters, digits, '_', '.' and '-'");
  }
  return reference;
}

}  // namespace wshare::oci
