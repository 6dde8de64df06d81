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

#include "format/manifest.h"
#include "runtime/device_weights.h"
#include "util/mapped_file.h"
#include "wshare/runtime.h"

namespace wshare {

// Where a session on a device takes a tensor from.
enum class Place { kDevice, kHost, kLeft };  // kLeft: ONNX Runtime loads it for itself

// What sessions of one model on one device turned out to need.
struct DevicePlan {
  std::map<std::string, Place, std::less<>> places;  // of tensors; those not named: kDevice
  bool packs_copies = false;  // kernels copy shared weights there, unless kept from packing
};

struct BundleState {
  std::filesystem::path folder;
  Manifest manifest;
  std::vector<std::optional<MappedFile>> blobs;  // as in the manifest; only those that are needed
  Ort::PrepackedWeightsContainer packed{};       // thread-safe; must outlive the sessions
  // Returns what lies on `device`.
  std::shared_ptr<DeviceWeights> weights_on(const Device& device);

  bool check_packs = false;
  std::mutex first_packed;  // held while the first session over a pack is made
  mutable std::mutex mutex;
  // Guarded by mutex.
  std::set<std::string, std::less<>> proven_packs;   // models of which a session uses its pack
  std::map<std::string, std::string> refused_packs;  // by model: why none does
  std::map<std::string, ModelReport> reports;
  std::map<const OrtEpDevice*, std::shared_ptr<DeviceWeights>> devices;
  std::map<std::pair<const OrtEpDevice*, std::string>, DevicePlan> placements;  // by model
};

// Maps the file at `path`. Throws Error(kInvalid) if it has not `size` bytes, Error(kIo) if it is
// missing.
MappedFile open_checked(const std::filesystem::path& path, uint64_t size);

// The same; also throws Error(kInvalid) if the hash of its bytes is not `hash`.
MappedFile open_checked(const std::filesystem::path& path, uint64_t size, const ContentHash& hash);

}  // namespace wshare
