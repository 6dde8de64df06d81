#include <onnxruntime_session_options_config_keys.h>

#include <algorithm>
#include <mutex>
#include <optional>

#include "format/dtype.h"
#include "format/manifest.h"
#include "runtime/bundle_state.h"
#include "runtime/handover.h"
#include "runtime/ort_errors.h"
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

// What a session points into, in the order of destruction: values first, maps last.
struct KeepAlive {
  std::shared_ptr<const void> bundle;
  std::vector<Ort::Value> values;
};

// ONNX Runtime never writes to an initializer; its API has no const form.
Ort::Value wrap(const TensorRecord& tensor, std::span<const std::byte> bytes) {
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault);
  const auto type = static_cast<ONNXTensorElementDataType>(find_dtype(tensor.dtype)->code);
  return Ort::Value::CreateTensor(memory, const_cast<std::byte*>(bytes.data()), bytes.size(),
                                  tensor.shape.data(), tensor.shape.size(), type);
}

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

ModelReport make_report(const ModelRecord& record, const Handover& handover) {
  ModelReport report;
  report.model = record.name;
  for (const TensorRecord* tensor : handover.shared) {
    report.shared_tensors.push_back(tensor->name);
    report.shared_bytes += tensor->extent.size;
  }
  report.left = handover.left;
  return report;
}

// Some kernels cannot export what they pack and fail with a container; with Tier::kAuto such a
// model opens without one. Returns whether the container was used.
bool create(const std::filesystem::path& path, const Ort::SessionOptions& options, Tier tier,
            Ort::PrepackedWeightsContainer& packed, Ort::Session& session) {
  if (tier != Tier::kCompact) {
    try {
      session = Ort::Session(environment(), path.c_str(), options, packed);
      return true;
    } catch (const Ort::Exception&) {
      if (tier != Tier::kAuto) throw;
    }
  }
  session = Ort::Session(environment(), path.c_str(), options);
  return false;
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

Ort::Env& environment() {
  static Ort::Env* const env = new Ort::Env(ORT_LOGGING_LEVEL_ERROR, "wshare");
  return *env;
}

uint64_t ModelReport::left_bytes() const {
  uint64_t bytes = 0;
  for (const LeftTensors& group : left) bytes += group.bytes;
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

Bundle Bundle::open(const std::filesystem::path& folder) {
  return translate_errors(folder.string(), [&] {
    environment();
    auto state = std::make_shared<State>();
    state->folder = folder;
    state->manifest = load_manifest(folder);
    state->blobs = map_blobs(state->manifest, folder);
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
  require_blobs(record, state_->manifest, state_->blobs);
  const std::filesystem::path path = state_->folder / record.file;
  const MappedFile file = open_checked(path, record.size, record.hash);
  const Handover handover = plan_handover(state_->manifest, record, file.bytes());
  return translate_errors(name, [&] {
    auto keep_alive = std::make_shared<KeepAlive>();
    keep_alive->bundle = state_;
    Ort::SessionOptions ort = options.ort.Clone();
    std::vector<bool> used(state_->blobs.size(), false);
    for (const TensorRecord* tensor : handover.shared) {
      keep_alive->values.push_back(
          wrap(*tensor, slice(state_->blobs.at(tensor->extent.blob)->bytes(), tensor->extent)));
      ort.AddInitializer(tensor->name.c_str(), keep_alive->values.back());
      used[tensor->extent.blob] = true;
    }
    if (options.tier == Tier::kCompact)
      ort.AddConfigEntry(kOrtSessionOptionsConfigDisablePrepacking, "1");
    Ort::Session session(nullptr);
    ModelReport report = make_report(record, handover);
    report.packed_shared = create(path, ort, options.tier, state_->packed, session);
    for (size_t i = 0; i < used.size(); ++i) {
      if (used[i]) state_->blobs[i]->drop_pages();
    }
    const std::lock_guard lock(state_->mutex);
    state_->reports[name] = std::move(report);
    return Session(std::move(keep_alive), std::move(session));
  });
}

Report Bundle::report() const {
  const std::lock_guard lock(state_->mutex);
  Report report;
  for (const ModelRecord& model : state_->manifest.models) {
    const auto found = state_->reports.find(model.name);
    if (found != state_->reports.end()) report.models.push_back(found->second);
  }
  return report;
}

}  // namespace wshare
