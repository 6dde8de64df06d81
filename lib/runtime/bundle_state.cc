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

}  // namespace

BundleState::BundleState(std::shared_ptr<const Folder> opened)
    : folder(std::move(opened)),
      looked_at(manifest_stamp(*folder)),
      manifest(folder),
      files(folder, manifest.blobs()) {}

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

std::string BundleState::plain(std::string message) const {
  const std::string ours = folder->path_of("").string();
  const std::string given = (folder->path() / "").string();
  for (size_t at = 0; (at = message.find(ours, at)) != std::string::npos; at += given.size())
    message.replace(at, ours.size(), given);
  return message;
}

}  // namespace wshare
