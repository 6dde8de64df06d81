#include <onnxruntime_session_options_config_keys.h>

#include <algorithm>
#include <mutex>
#include <optional>

#include "format/bundle_files.h"
#include "format/manifest/file.h"
#include "format/manifest/text.h"
#include "runtime/bundle_state.h"
#include "runtime/device_session.h"
#include "runtime/environment.h"
#include "runtime/handover.h"
#include "runtime/map_room.h"
#include "runtime/ort_errors.h"
#include "runtime/packed_session.h"
#include "runtime/provider_session.h"
#include "runtime/session_parts.h"
#include "util/new_pages.h"
#include "util/system_errors.h"
#include "util/text.h"
#include "wshare/error.h"
#include "wshare/runtime.h"

// Sessions over one copy ("l" in docs/design.md): large weights are handed to every session as
// non-owning values over one map per blob, so that ONNX Runtime shares their packed forms through
// one container, too. Packing reads every weight once; those pages are dropped afterwards, or each
// weight would be resident twice. What was in memory before stays: sessions that run use it.
// Whatever else reads raw weights gets their pages again from the page cache.

namespace wshare {
namespace {

// The session on the CPU; see open_on_device().
Session open_on_host(const std::shared_ptr<BundleState>& bundle, const ModelRecord& record,
                     std::span<const std::byte> model, const SessionOptions& options,
                     ModelReport& report) {
  const Handover handover = plan_handover(bundle->files.records(), record, model);
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault);
  auto keep_alive = std::make_shared<KeepAlive>();
  keep_alive->owners.push_back(bundle);
  Ort::SessionOptions ort = join_environment(record.name, options);
  attach_log(options, ort, *keep_alive);
  require_map_room(record.name, lend_blobs(*bundle, record, handover, ort));
  NewPages read_once;
  for (const TensorRecord* tensor : handover.shared) {
    const std::span<const std::byte> bytes = bundle->files.bytes(tensor->extent);
    read_once.watch(bytes);
    keep_alive->values.push_back(wrap(*tensor, memory, bytes.data()));
    ort.AddInitializer(std::string(tensor->name).c_str(), keep_alive->values.back());
  }
  if (options.tier == Tier::kCompact)
    ort.AddConfigEntry(kOrtSessionOptionsConfigDisablePrepacking, "1");
  Ort::Session session(nullptr);
  report = make_report(record, handover);
  report.packed_shared = create_session(bundle->folder->path_of(record.file), ort, options.tier,
                                        bundle->packed->get(), session);
  check_providers(record.name, options, session);
  read_once.drop();
  return Session(std::move(keep_alive), std::move(session));
}

// The session over the model's own file: with any tier but kPacked.
Session open_unpacked(const std::shared_ptr<BundleState>& bundle, const ModelRecord& record,
                      const SessionOptions& options, ModelReport& report) {
  require_blobs(*bundle, record);
  const MappedFile file = bundle->files.model(record);
  const auto open = !options.device                      ? open_on_host
                    : options.device->shares_by_itself() ? open_by_provider
                                                         : open_on_device;
  Session session = open(bundle, record, file.bytes(), options, report);
  report.tier = options.tier == Tier::kCompact ? Tier::kCompact : Tier::kShared;
  return session;
}

Session open_session(const std::shared_ptr<BundleState>& bundle, const ModelPart& part,
                     const SessionOptions& options, ModelReport& report) {
  const ModelRecord& record = part.model;
  if (options.tier == Tier::kShared || options.tier == Tier::kCompact)
    return open_unpacked(bundle, record, options, report);
  PackedAttempt packed = open_packed(bundle, part, options);
  if (!packed.session && options.tier == Tier::kPacked) {
    throw Error(ErrorCode::kUnsupported,
                in_quotes(record.name) + ": no packed session: " + packed.why,
                "'wshare pack' makes packs for the ONNX Runtime and the CPU at hand");
  }
  report = std::move(packed.report);
  Session session =
      packed.session ? *std::move(packed.session) : open_unpacked(bundle, record, options, report);
  report.why = std::move(packed.why);
  // The options were not the reason, since they make this session.
  const std::lock_guard lock(bundle->mutex);
  bundle->refused_packs.merge(packed.refused);
  return session;
}

}  // namespace

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

BareSession Session::release() && { return {std::move(keep_alive_), std::move(session_)}; }

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

Session make_session(const std::shared_ptr<BundleState>& bundle, const std::string& name,
                     const SessionOptions& options) try {
  const ModelPart part = bundle->manifest.read(name);
  const ModelRecord& record = part.model;
  try {
    ModelReport report;
    Session session =
        translate_errors(name, [&] { return open_session(bundle, part, options, report); });
    bundle->files.check_unchanged(blobs_of(record));
    bundle->check_current(record);
    const std::lock_guard lock(bundle->mutex);
    bundle->reports[name] = std::move(report);
    return session;
  } catch (const Error& error) {
    bundle->check_current(record);  // says more, where it is the reason
    const std::string message = bundle->plain(error.what());
    if (error.code() != ErrorCode::kRuntime || bundle->folder->is_at_path())
      throw Error(error.code(), message, error.hint());
    // ONNX Runtime opens by path what may be on its way out just then, its manifest still there.
    throw Error(ErrorCode::kIo, message + " (the bundle was moved or replaced since it was opened)",
                "open the bundle again");
  }
} catch (const std::system_error& error) {
  throw_as_error(error);
}

Bundle Bundle::open(const std::filesystem::path& folder, const BundleOptions& options) try {
  return translate_errors(folder.string(), [&] {
    environment();
    std::shared_ptr<BundleState> state = open_state(folder);
    state->check_packs = options.check_packs;
    return Bundle(std::make_shared<OpenBundle>(std::move(state)));
  });
} catch (const std::system_error& error) {
  throw_as_error(error);
}

bool Bundle::reload() try { return opened_->reload(); } catch (const std::system_error& error) {
  throw_as_error(error);
}

std::vector<std::string> Bundle::models() const { return opened_->now()->manifest.models(); }

Session Bundle::session(const std::string& name, const SessionOptions& options) {
  return make_session(opened_->now(), name, options);
}

Report Bundle::report() const {
  const std::shared_ptr<BundleState> state = opened_->now();
  const std::lock_guard lock(state->mutex);
  Report report;
  for (const std::string& name : state->manifest.models()) {
    const auto found = state->reports.find(name);
    if (found != state->reports.end()) report.models.push_back(found->second);
  }
  for (const auto& [key, weights] : state->devices)
    report.devices.push_back({weights->device().provider(), weights->bytes()});
  return report;
}

}  // namespace wshare
