#include "runtime/bundle_state.h"

#include <algorithm>
#include <utility>

#include "format/manifest/text.h"
#include "util/text.h"
#include "wshare/error.h"

// Problem: other programs change the bundle while it is open here, and ONNX Runtime opens some of
// its files for itself, by their names.
//
// wshare's commands never edit a file and never give a name twice in one folder, so a name leads to
// what it was or to nothing. Whoever copies another bundle over this one does not keep to that. So
// after a session was made it is asked whether the manifest in the folder still says the same of
// the model: then all that was read meanwhile was the model's.
//
// Whoever wants the models that came since asks for another state: it shares with this one what
// costs memory, and each session keeps the state that it was made of.

namespace wshare {
namespace {

std::optional<FileStamp> manifest_stamp(const Folder& folder) {
  return folder.look_up(kManifestName);
}

using Blobs = std::vector<BlobRecord>;

bool is_same_tensor(const Blobs& a, const TensorRecord& x, const Blobs& b, const TensorRecord& y) {
  return x.name == y.name && x.scope == y.scope && x.hash == y.hash &&
         x.extent.offset == y.extent.offset && x.extent.size == y.extent.size &&
         a[x.extent.blob].file == b[y.extent.blob].file;
}

bool is_same_model(const Blobs& a, const ModelRecord& x, const Blobs& b, const ModelRecord& y) {
  return x.file == y.file && x.hash == y.hash &&
         std::equal(x.tensors.begin(), x.tensors.end(), y.tensors.begin(), y.tensors.end(),
                    [&](const TensorRecord& s, const TensorRecord& t) {
                      return is_same_tensor(a, s, b, t);
                    });
}

bool starts_with(const Blobs& blobs, const Blobs& start) {
  return blobs.size() >= start.size() && std::equal(start.begin(), start.end(), blobs.begin(),
                                                    [](const BlobRecord& a, const BlobRecord& b) {
                                                      return a.file == b.file && a.size == b.size;
                                                    });
}

}  // namespace

BundleState::BundleState(std::shared_ptr<const Folder> opened)
    : folder(std::move(opened)),
      read_at(manifest_stamp(*folder)),
      looked_at(read_at),
      manifest(folder),
      files(folder, manifest.blobs()),
      packed(std::make_shared<PackedWeights>()) {}

BundleState::BundleState(std::shared_ptr<const Folder> opened, const BundleState& before)
    : folder(std::move(opened)),
      read_at(manifest_stamp(*folder)),
      looked_at(read_at),
      manifest(folder),
      files(folder, manifest.blobs()),
      packed(before.packed),
      check_packs(before.check_packs) {
  if (folder != before.folder) return;  // names may stand for other files
  files.share_maps(before.files);
  const std::lock_guard lock(before.mutex);
  // What lies on devices goes by the numbers of blobs.
  if (starts_with(files.records(), before.files.records())) devices = before.devices;
  proven_packs = before.proven_packs;  // by names of files, of which none is given twice
  refused_packs = before.refused_packs;
  for (const auto& [name, report] : before.reports) {
    if (has_same(before, name)) reports[name] = report;
  }
}

bool BundleState::is_current() const {
  return folder->is_at_path() && manifest_stamp(*folder) == read_at;
}

bool BundleState::has_same(const BundleState& other, const std::string& name) const {
  return manifest.has_model(name) && other.manifest.has_model(name) &&
         is_same_model(*manifest.blobs(), manifest.read(name).model, *other.manifest.blobs(),
                       other.manifest.read(name).model);
}

void BundleState::check_current(const ModelRecord& model) {
  const std::lock_guard lock(mutex);
  const std::optional<FileStamp> now = manifest_stamp(*folder);
  if (now && now != looked_at) {
    newer = std::make_unique<const ManifestFile>(folder);
    looked_at = now;
  }
  const auto is_there = [&] {
    return newer->has_model(model.name) &&
           is_same_model(*manifest.blobs(), model, *newer->blobs(), newer->read(model.name).model);
  };
  if (now && (newer == nullptr || is_there())) return;
  throw Error(ErrorCode::kIo,
              in_quotes(folder->path().string()) + ": was changed or removed since it was opened" +
                  (now ? ": it has model " + in_quotes(model.name) + " no longer, or another one"
                       : std::string()),
              "open the bundle again");
}

std::shared_ptr<DeviceWeights> BundleState::weights_on(const Device& device) {
  const std::lock_guard lock(mutex);
  const auto known = devices.find(device.ep_device());
  if (known != devices.end()) return known->second;
  return devices.emplace(device.ep_device(), std::make_shared<DeviceWeights>(device)).first->second;
}

std::shared_ptr<BundleState> open_state(const std::filesystem::path& folder,
                                        const BundleState* before) {
  // Another bundle may take the place of this one just when it is opened.
  constexpr int kTries = 20;
  for (int i = 1;; ++i) {
    std::shared_ptr<const Folder> opened = before != nullptr && before->folder->is_at_path()
                                               ? before->folder
                                               : open_bundle_folder(folder);
    try {
      return before == nullptr ? std::make_shared<BundleState>(opened)
                               : std::make_shared<BundleState>(opened, *before);
    } catch (const Error&) {
      if (i == kTries || opened->is_at_path()) throw;
    }
  }
}

std::shared_ptr<BundleState> OpenBundle::now() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

bool OpenBundle::reload() {
  const std::lock_guard reloading(reload_mutex_);
  const std::shared_ptr<BundleState> before = now();
  if (before->is_current()) return false;
  std::shared_ptr<BundleState> after = open_state(before->folder->path(), before.get());
  const std::lock_guard lock(mutex_);
  state_ = std::move(after);
  return true;
}

std::string BundleState::plain(std::string message) const {
  const std::string ours = folder->path_of("").string();
  const std::string given = (folder->path() / "").string();
  for (size_t at = 0; (at = message.find(ours, at)) != std::string::npos; at += given.size())
    message.replace(at, ours.size(), given);
  return message;
}

}  // namespace wshare
