#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "format/bundle_files.h"
#include "format/manifest/file.h"
#include "runtime/device_weights.h"
#include "wshare/runtime.h"

namespace wshare {

// Where a session on a device takes a tensor from.
enum class TakenFrom { kDevice, kHost, kLeft };  // kLeft: ONNX Runtime loads it for itself

// What sessions of one model on one device turned out to need.
struct DevicePlan {
  std::map<std::string, TakenFrom, std::less<>> taken_from;  // of tensors; those not named: kDevice
  bool packs_copies = false;  // kernels copy shared weights there, unless kept from packing
};

struct BundleState {
  // Opens the manifest of the bundle in `opened`. Throws what ManifestFile throws.
  explicit BundleState(std::shared_ptr<const Folder> opened);

  // Throws Error(kIo) unless the bundle's manifest, which others may have replaced since, still
  // says the same of `model`. To be asked after its files were opened.
  void check_current(const ModelRecord& model);

  // Returns `message` with paths as the user knows them, where ONNX Runtime was given others.
  std::string plain(std::string message) const;

  const std::shared_ptr<const Folder> folder;
  std::optional<FileStamp> looked_at;  // of manifest.json, when it was read last; guarded by mutex
  const ManifestFile manifest;         // as it was when the bundle was opened
  const StoredFiles files;
  Ort::PrepackedWeightsContainer packed{};  // thread-safe; must outlive the sessions
  // Returns what lies on `device`.
  std::shared_ptr<DeviceWeights> weights_on(const Device& device);

  bool check_packs = false;
  std::mutex first_packed;  // held while the first session over a pack is made
  mutable std::mutex mutex;
  // Guarded by mutex.
  std::set<std::string, std::less<>> proven_packs;   // files of packs that a session uses
  std::map<std::string, std::string> refused_packs;  // by file of a pack: why none does
  std::map<std::string, ModelReport> reports;
  std::unique_ptr<const ManifestFile> newer;  // as it was when it was looked at; null: the same
  std::map<const OrtEpDevice*, std::shared_ptr<DeviceWeights>> devices;
  std::map<std::pair<const OrtEpDevice*, std::string>, DevicePlan> placements;  // by model
};

}  // namespace wshare
