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

// What the packed weights of all sessions of a bundle lie in. Made at first need: who only looks at
// a bundle may have no ONNX Runtime.
class PackedWeights {
 public:
  Ort::PrepackedWeightsContainer& get() {
    std::call_once(made_, [this] { container_.emplace(); });
    return *container_;
  }

 private:
  std::once_flag made_;
  std::optional<Ort::PrepackedWeightsContainer> container_;
};

// A bundle as its manifest was at one moment; Bundle::reload() makes another one.
struct BundleState {
  // Opens the manifest of the bundle in `opened`. Throws what ManifestFile throws.
  explicit BundleState(std::shared_ptr<const Folder> opened);

  // The same after `before`, with which it shares what is equal: maps of files, packed weights,
  // what lies on devices, what is known of models.
  BundleState(std::shared_ptr<const Folder> opened, const BundleState& before);

  // True if the folder still is where it was opened, with the manifest that this has read.
  bool is_current() const;

  // True if the manifest of `other` says the same of the model called `name`.
  bool has_same(const BundleState& other, const std::string& name) const;

  // Throws Error(kIo) unless the bundle's manifest, which others may have replaced since, still
  // says the same of `model`. To be asked after its files were opened.
  void check_current(const ModelRecord& model);

  // Returns `message` with paths as the user knows them, where ONNX Runtime was given others.
  std::string plain(std::string message) const;

  const std::shared_ptr<const Folder> folder;
  const std::optional<FileStamp> read_at;  // of manifest.json, before it was read
  std::optional<FileStamp> looked_at;      // when it was read last; guarded by mutex
  const ManifestFile manifest;             // as it was when the bundle was opened
  StoredFiles files;
  // Thread-safe; must outlive the sessions.
  const std::shared_ptr<PackedWeights> packed;
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

// What a Bundle and its copies refer to: the state that new sessions are of.
class OpenBundle {
 public:
  explicit OpenBundle(std::shared_ptr<BundleState> state) : state_(std::move(state)) {}

  std::shared_ptr<BundleState> now() const;

  // As Bundle::reload().
  bool reload();

 private:
  std::mutex reload_mutex_;  // held by the one that reloads
  mutable std::mutex mutex_;
  std::shared_ptr<BundleState> state_;  // guarded by mutex_
};

// Opens the bundle in `folder`. Throws what Bundle::open() throws.
std::shared_ptr<BundleState> open_state(const std::filesystem::path& folder,
                                        const BundleState* before = nullptr);

// As Bundle::session().
Session make_session(const std::shared_ptr<BundleState>& bundle, const std::string& name,
                     const SessionOptions& options);

}  // namespace wshare
