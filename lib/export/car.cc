#include "export/car.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string_view>

#include "format/tar.h"
#include "util/as_text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

using Bytes = std::span<const std::byte>;

// A layer of this or more is worth a push of its own.
constexpr uint64_t kLargeFile = uint64_t{16} << 20;

// What stays of the image before, and what it shows.
struct Below {
  std::vector<oci::Blob> layers;
  std::map<std::string, bool> shown;  // by name: true if it is the file that is wanted
};

// Returns what `layer` shows, nothing if it is no layer of a bundle's image.
std::optional<std::map<std::string, bool>> look_at(Bytes layer,
                                                   const std::map<std::string, Bytes>& wanted) {
  std::map<std::string, bool> shown;
  try {
    for (const tar::Entry& entry : tar::read(layer)) {
      if (entry.is_folder) continue;
      if (!entry.name.starts_with(oci::kImageFolder)) return std::nullopt;
      const std::string name = entry.name.substr(oci::kImageFolder.size());
      const auto at = wanted.find(name);
      shown[name] = at != wanted.end() && as_text(at->second) == as_text(entry.bytes);
    }
  } catch (const Error&) {
    return std::nullopt;
  }
  return shown;
}

// Layers that show nothing that is wanted go; one that shows a part of it stays, and what it shows
// beside that is hidden.
Below keep(const oci::Layout& layout, const oci::ImageManifest& before,
           const std::map<std::string, Bytes>& wanted) {
  Below below;
  for (const oci::Blob& layer : before.layers) {
    std::optional<MappedFile> bytes;
    try {
      bytes.emplace(layout.open(layer));
    } catch (const Error&) {
      continue;
    }
    const auto shown = look_at(bytes->bytes(), wanted);
    if (!shown ||
        std::none_of(shown->begin(), shown->end(), [](const auto& file) { return file.second; })) {
      continue;
    }
    below.layers.push_back(layer);
    for (const auto& [name, is_wanted] : *shown) {
      if (name.starts_with(oci::kWhiteout)) {
        below.shown.erase(name.substr(oci::kWhiteout.size()));
      } else {
        below.shown[name] = is_wanted;
      }
    }
  }
  return below;
}

// The largest files each get a layer, the rest one together.
std::vector<CarLayer> group(const std::vector<CarFile>& files) {
  std::vector<const CarFile*> large;
  for (const CarFile& file : files) {
    if (file.bytes.size() >= kLargeFile) large.push_back(&file);
  }
  std::stable_sort(large.begin(), large.end(), [](const CarFile* a, const CarFile* b) {
    return a->bytes.size() > b->bytes.size();
  });
  large.resize(std::min(large.size(), kMostCarLayers - 1));
  const std::set<const CarFile*> alone(large.begin(), large.end());
  std::vector<CarLayer> layers;
  CarLayer together;
  for (const CarFile& file : files) {
    if (alone.contains(&file)) {
      layers.push_back({{file}, {}});
    } else {
      together.files.push_back(file);
    }
  }
  if (!together.files.empty()) layers.push_back(std::move(together));
  return layers;
}

}  // namespace

std::vector<Bytes> CarLayer::pieces(std::vector<std::string>& texts) const {
  const std::string folder(oci::kImageFolder), white = folder + std::string(oci::kWhiteout);
  texts.clear();
  texts.reserve(1 + files.size() + hidden.size());  // what points into them stays right
  std::vector<Bytes> pieces;
  const auto add = [&](const std::string& name, Bytes bytes, bool is_folder) {
    texts.push_back(tar::header(name, bytes.size(), is_folder));
    pieces.push_back(std::as_bytes(std::span(texts.back())));
    pieces.push_back(bytes);
    pieces.push_back(tar::padding(bytes.size()));
  };
  add(folder, {}, true);
  for (const std::string& name : hidden) add(white + name, {}, false);
  for (const CarFile& file : files) add(folder + file.name, file.bytes, false);
  pieces.push_back(tar::end());
  return pieces;
}

CarPlan plan_car(const std::vector<CarFile>& files, const oci::Layout* layout,
                 const oci::ImageManifest* before) {
  std::map<std::string, Bytes> wanted;
  for (const CarFile& file : files) wanted[file.name] = file.bytes;
  Below below;
  if (layout != nullptr && before != nullptr) below = keep(*layout, *before, wanted);
  std::vector<CarFile> missing;
  for (const CarFile& file : files) {
    const auto at = below.shown.find(file.name);
    if (at == below.shown.end() || !at->second) missing.push_back(file);
  }
  CarPlan plan{std::move(below.layers), group(missing)};
  std::vector<std::string> hidden;
  for (const auto& [name, is_wanted] : below.shown) {
    if (!wanted.contains(name)) hidden.push_back(name);
  }
  if (!hidden.empty()) {
    if (plan.added.empty()) plan.added.emplace_back();
    plan.added.back().hidden = std::move(hidden);
  }
  // Anew where there are too many: the layer of a large file is the same again.
  const bool too_many = plan.kept.size() + plan.added.size() > kMostCarLayers;
  return too_many ? plan_car(files, nullptr, nullptr) : plan;
}

std::optional<oci::ImageManifest> image_before(const oci::Layout& layout, const std::string& tag) {
  const oci::Blob* found = layout.index().find(tag);
  const auto read = [&](const oci::Blob& blob) -> std::optional<oci::ImageManifest> {
    try {
      oci::ImageManifest manifest = layout.read_manifest(blob);
      if (manifest.config.media_type == oci::kImageConfigType) return manifest;
    } catch (const Error&) {
    }
    return std::nullopt;
  };
  if (found != nullptr) {
    if (auto manifest = read(*found)) return manifest;
  }
  const std::vector<oci::Index::Entry>& all = layout.index().manifests;
  for (auto entry = all.rbegin(); entry != all.rend(); ++entry) {
    if (auto manifest = read(entry->descriptor)) return manifest;
  }
  return std::nullopt;
}

}  // namespace wshare
