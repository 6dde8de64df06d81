#include <onnxruntime_session_options_config_keys.h>

#include <algorithm>
#include <mutex>
#include <optional>

#include "format/manifest.h"
#include "runtime/bundle_state.h"
#include "runtime/device_session.h"
#include "runtime/environment.h"
#include "runtime/handover.h"
#include "runtime/map_room.h"
#include "runtime/ort_errors.h"
#include "runtime/packed_session.h"
#include "runtime/session_parts.h"
#include "util/mapped_file.h"
#include "util/text.h"
#include "wshare/error.h"
#include "wshare/runtime.h"

// Sessions over one copy ("l" in docs/design.md): large weights are handed to every session as
// non-owning values over one map per blob, so that ONNX Runtime shares their packed forms through
// one container, too. Packing reads every weight once; those pages are dropped afterwards, or each
// weight would be resident twice. Whatever still reads raw weights gets their pages again from the
// page cache.

namespace wshare {
namespace {

// Maps the blobs that tensors lie in, and not what only restore reads. One that is missing is no
// error yet: a part of a bundle may have been shipped, and the models in it open.
std::vector<std::optional<MappedFile>> map_blobs(const Manifest& manifest,
                                                 const std::filesystem::path& folder) {
  std::vector<std::optional<MappedFile>> blobs(manifest.blobs.size());
  for (const ModelRecord& model : manifest.models) {
    for (const TensorRecord& tensor : model.tensors) {
      const BlobRecord& blob = manifest.blobs[tensor.extent.blob];
      std::optional<MappedFile>& map = blobs[tensor.extent.blob];
      if (map || !std::filesystem::exists(folder / blob.file)) continue;
      map.emplace(open_checked(folder / blob.file, blob.size));
    }
  }
  return blobs;
}

void require_blobs(const ModelRecord& model, const Manifest& manifest,
                   const std::vector<std::optional<MappedFile>>& blobs) {
  for (const TensorRecord& tensor : model.tensors) {
    if (blobs[tensor.extent.blob]) continue;
    throw Error(ErrorCode::kIo, in_quotes(manifest.blobs[tensor.extent.blob].file) +
                                    ": is missing, and model " + in_quotes(model.name) +
                                    " has tensors in it");
  }
}

// The session on the CPU; see open_on_device().
Session open_on_host(const std::shared_ptr<BundleState>& bundle, const ModelRecord& record,
                     std::span<const std::byte> model, const SessionOptions& options,
                     ModelReport& report) {
  const Handover handover = plan_handover(bundle->manifest, record, model);
  require_map_room(record.name, count_left(handover.left));
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault);
  auto keep_alive = std::make_shared<KeepAlive>();
  keep_alive->owners.push_back(bundle);
  Ort::SessionOptions ort = join_environment(record.name, options);
  attach_log(options, ort, *keep_alive);
  std::vector<bool> used(bundle->blobs.size(), false);
  for (const TensorRecord* tensor : handover.shared) {
    const MappedFile& blob = bundle->blobs.at(tensor->extent.blob).value();
    keep_alive->values.push_back(wrap(*tensor, memory, slice(blob.bytes(), tensor->extent).data()));
    ort.AddInitializer(std::string(tensor->name).c_str(), keep_alive->values.back());
    used[tensor->extent.blob] = true;
  }
  if (options.tier == Tier::kCompact)
    ort.AddConfigEntry(kOrtSessionOptionsConfigDisablePrepacking, "1");
  Ort::Session session(nullptr);
  report = make_report(record, handover);
  report.packed_shared =
      create_session(bundle->folder / record.file, ort, options.tier, bundle->packed, session);
  check_providers(record.name, options, session);
  for (size_t i = 0; i < used.size(); ++i) {
    if (used[i]) bundle->blobs[i]->drop_pages();
  }
  return Session(std::move(keep_alive), std::move(session));
}

// The session over the model's own file: with any tier but kPacked.
Session open_unpacked(const std::shared_ptr<BundleState>& bundle, const ModelRecord& record,
                      const SessionOptions& options, ModelReport& report) {
  require_blobs(record, bundle->manifest, bundle->blobs);
  const MappedFile file = open_checked(bundle->folder / record.file, record.size, record.hash);
  const auto open = options.device ? open_on_device : open_on_host;
  Session session = open(bundle, record, file.bytes(), options, report);
  report.tier = options.tier == Tier::kCompact ? Tier::kCompact : Tier::kShared;
  return session;
}

Session open_session(const std::shared_ptr<BundleState>& bundle, const ModelRecord& record,
                     const SessionOptions& options, ModelReport& report) {
  if (options.tier == Tier::kShared || options.tier == Tier::kCompact)
    return open_unpacked(bundle, record, options, report);
  std::string why = why_not_packed(*bundle, record, options);
  const bool tried = why.empty();
  if (tried) {
    if (std::optional<Session> session = open_packed(bundle, record, options, report))
      return *std::move(session);
    why = report.why;
  }
  if (options.tier == Tier::kPacked) {
    throw Error(ErrorCode::kUnsupported, in_quotes(record.name) + ": no packed session: " + why,
                "'wshare pack' makes packs for the ONNX Runtime and the CPU at hand");
  }
  Session session = open_unpacked(bundle, record, options, report);
  if (tried) {  // and the options were not the reason
    const std::lock_guard lock(bundle->mutex);
    bundle->refused_packs[record.name] = why;
  }
  report.why = std::move(why);
  return session;
}

}  // namespace

MappedFile open_checked(const std::filesystem::path& path, uint64_t size) {
  MappedFile file = MappedFile::open(path);
  if (file.bytes().size() != size) {
    throw Error(ErrorCode::kInvalid, in_quotes(path.string()) + ": has " +
                                         std::to_string(file.bytes().size()) +
                                         " bytes, the manifest says " + std::to_string(size));
  }
  return file;
}

MappedFile open_checked(const std::filesystem::path& path, uint64_t size, const ContentHash& hash) {
  MappedFile file = open_checked(path, size);
  if (content_hash(file.bytes()) != hash) {
    throw Error(ErrorCode::kInvalid,
                in_quotes(path.string()) + ": its bytes are not the ones of the manifest",
                "'wshare verify' lists what has changed");
  }
  return file;
}

uint64_t ModelReport::left_bytes() const {
  uint64_t bytes = 0;
  for (const LeftTensors& group : left) bytes += group.bytes;
  return bytes;
}

uint64_t Report::device_bytes() const {
  uint64_t bytes = 0;
  for (const DeviceBytes& device : devices) bytes += device.shared_bytes;
  return bytes;
}

Session& Session::operator=(Session&& other) noexcept {
  if (this == &other) return *this;
  session_ = std::move(other.session_);  // ends the old session before its weights go
  keep_alive_ = std::move(other.keep_alive_);
  return *this;
}

Session::operator Ort::Session() && {
  static std::mutex mutex;
  static auto* const pinned = new std::vector<std::shared_ptr<const void>>;
  const std::lock_guard lock(mutex);
  pinned->push_back(std::move(keep_alive_));
  return std::move(session_);
}

const char* text_of(Tier tier) {
  switch (tier) {
    case Tier::kAuto:
      return "auto";
    case Tier::kShared:
      return "shared";
    case Tier::kCompact:
      return "compact";
    case Tier::kPacked:
      return "packed";
  }
  return "";
}

Bundle Bundle::open(const std::filesystem::path& folder, const BundleOptions& options) {
  return translate_errors(folder.string(), [&] {
    environment();
    auto state = std::make_shared<State>();
    state->folder = folder;
    state->manifest = load_manifest(folder);
    state->blobs = map_blobs(state->manifest, folder);
    state->check_packs = options.check_packs;
    return Bundle(std::move(state));
  });
}

std::vector<std::string> Bundle::models() const {
  std::vector<std::string> names;
  for (const ModelRecord& model : state_->manifest.models) names.push_back(model.name);
  return names;
}

Session Bundle::session(const std::string& name, const SessionOptions& options) {
  const ModelRecord& record = find_model(state_->manifest, name);
  return translate_errors(name, [&] {
    ModelReport report;
    Session session = open_session(state_, record, options, report);
    const std::lock_guard lock(state_->mutex);
    state_->reports[name] = std::move(report);
    return session;
  });
}

std::shared_ptr<DeviceWeights> BundleState::weights_on(const Device& device) {
  const std::lock_guard lock(mutex);
  std::shared_ptr<DeviceWeights>& weights = devices[device.ep_device()];
  if (weights == nullptr) weights = std::make_shared<DeviceWeights>(device);
  return weights;
}

Report Bundle::report() const {
  const std::lock_guard lock(state_->mutex);
  Report report;
  for (const ModelRecord& model : state_->manifest.models) {
    const auto found = state_->reports.find(model.name);
    if (found != state_->reports.end()) report.models.push_back(found->second);
  }
  for (const auto& [key, weights] : state_->devices)
    report.devices.push_back({weights->device().provider(), weights->bytes()});
  return report;
}

}  // namespace wshare
