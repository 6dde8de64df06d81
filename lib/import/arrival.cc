#include "import/arrival.h"

#include <algorithm>
#include <map>
#include <utility>

#include "format/manifest/manifest.h"
#include "format/tar.h"
#include "util/paths.h"
#include "util/sha256.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

[[noreturn]] void fail(const std::string& what) { throw Error(ErrorCode::kInvalid, what); }

void check_name(const std::string& name) {
  if (!is_file_name(name))
    fail("a layer has a file " + in_quotes(name) + ", which is no file of a bundle");
}

// All but what is in the layers, so that nothing is opened for an artifact that is none.
void check_artifact(const oci::ImageManifest& manifest) {
  std::vector<std::string> names;
  for (const oci::Blob& layer : manifest.layers) {
    if (layer.file.empty()) fail("a layer has no name: " + layer.digest);
    check_name(layer.file);
    if (layer.media_type != oci::kWeightType && layer.media_type != oci::kWeightConfigType)
      fail("the layer " + in_quotes(layer.file) + " is of the type " + in_quotes(layer.media_type));
    names.push_back(layer.file);
  }
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end()) fail("two layers are called " + in_quotes(*twice));
}

void check_image(const oci::ImageManifest& manifest) {
  for (const oci::Blob& layer : manifest.layers) {
    if (layer.media_type == oci::kTarType) continue;
    throw Error(ErrorCode::kUnsupported,
                "a layer is of the type " + in_quotes(layer.media_type) + ", no " +
                    in_quotes(oci::kTarType),
                "push and pull it with --preserve-digests: skopeo compresses layers else");
  }
}

// Adds what the archive of a layer shows over `files`.
void add_archive(const MappedFile& map, size_t layer, std::map<std::string, ArrivedFile>& files) {
  std::vector<tar::Entry> entries;
  try {
    entries = tar::read(map.bytes());
  } catch (const Error& error) {
    throw Error(error.code(), in_quotes(map.path().string()) + ": " + error.what());
  }
  for (const tar::Entry& entry : entries) {
    if (entry.is_folder &&
        (entry.name == oci::kImageFolder || entry.name + "/" == oci::kImageFolder))
      continue;
    if (entry.is_folder || !entry.name.starts_with(oci::kImageFolder)) {
      throw Error(ErrorCode::kUnsupported,
                  "a layer has " + in_quotes(entry.name) + ": this is no image of a bundle");
    }
    std::string name = entry.name.substr(oci::kImageFolder.size());
    if (name.starts_with(oci::kWhiteout)) {
      files.erase(name.substr(oci::kWhiteout.size()));
      continue;
    }
    check_name(name);
    files[name] = {name, entry.bytes, layer};
  }
}

}  // namespace

const ArrivedFile* Arrival::find(std::string_view name) const {
  const auto at = std::find_if(files.begin(), files.end(),
                               [&](const ArrivedFile& file) { return file.name == name; });
  return at == files.end() ? nullptr : &*at;
}

Arrival open_arrival(const oci::Layout& layout, const oci::ImageManifest& manifest) {
  Arrival arrival;
  const std::string& type = manifest.config.media_type;
  arrival.is_artifact = type == oci::kModelConfigType;
  if (!arrival.is_artifact && type != oci::kImageConfigType) {
    throw Error(
        ErrorCode::kUnsupported,
        "its config is of the type " + in_quotes(type) + ": this is no model artifact and no image",
        "'wshare export oci BUNDLE LAYOUT' makes one");
  }
  arrival.is_artifact ? check_artifact(manifest) : check_image(manifest);
  arrival.blobs = manifest.layers;
  std::map<std::string, ArrivedFile> files;
  for (size_t i = 0; i < arrival.blobs.size(); ++i) {
    const MappedFile& map = arrival.maps.emplace_back(layout.open(arrival.blobs[i]));
    if (arrival.is_artifact) {
      files[arrival.blobs[i].file] = {arrival.blobs[i].file, map.bytes(), i};
    } else {
      add_archive(map, i, files);
    }
  }
  for (auto& [name, file] : files) arrival.files.push_back(std::move(file));
  return arrival;
}

void check_files(const Arrival& arrival, const std::vector<BundleFile>& named) {
  std::map<std::string_view, uint64_t> sizes;
  for (const BundleFile& file : named) sizes[file.name] = file.size;
  for (const ArrivedFile& file : arrival.files) {
    if (file.name == kManifestName) continue;
    const auto at = sizes.find(file.name);
    if (at == sizes.end()) fail(in_quotes(file.name) + " is none of the bundle's files");
    if (at->second != file.bytes.size()) {
      fail(in_quotes(file.name) + " has " + std::to_string(file.bytes.size()) +
           " bytes, the bundle's manifest says " + std::to_string(at->second));
    }
    sizes.erase(at);
  }
  if (!sizes.empty())
    fail("there is no " + in_quotes(sizes.begin()->first) + ", which the bundle needs");
}

void check_digest(const Arrival& arrival, size_t layer) {
  const MappedFile& map = arrival.maps[layer];
  const std::string digest = sha256_of(map.bytes());
  map.check_unchanged();
  if (digest == arrival.blobs[layer].digest) return;
  const std::string& file = arrival.blobs[layer].file;
  throw Error(ErrorCode::kInvalid,
              in_quotes(map.path().string()) + ": is damaged: its SHA-256 is another" +
                  (file.empty() ? "" : "; it is " + in_quotes(file)),
              "pull it again");
}

}  // namespace wshare
