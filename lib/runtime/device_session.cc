#include "runtime/device_session.h"

#include <onnxruntime_session_options_config_keys.h>

#include <algorithm>
#include <set>
#include <utility>

#include "format/dtype.h"
#include "format/layout.h"
#include "format/onnx_wire.h"
#include "runtime/device_weights.h"
#include "runtime/handover.h"
#include "runtime/session_log.h"
#include "runtime/session_parts.h"
#include "util/text.h"
#include "wshare/error.h"

// A session over weights on a device. Which of its nodes run there is ONNX Runtime's choice, made
// while the session is created; only then is it known which weights it takes from the device. So
// all of them are offered there at first, ONNX Runtime's log says what became of each, and where
// that was wrong the session is made anew:
//   - nodes on the CPU use it: offered from the bundle's maps instead;
//   - nothing is said of it (optimisers computed with it): not offered, not on the device.
// The outcome is kept, so that the next session of the model is made once.
//
// Not the log but the count of bytes is the proof. ONNX Runtime says nothing of kernels that make
// copies of a weight (packing), nor of a second copy for the device of a weight that nodes on the
// CPU use, too. But the session has an allocator of its own, and what it gave out right after
// creation must be no more than the tensors that are not shared.

namespace wshare {
namespace {

constexpr uint64_t kGranule = 256;  // a device gives out whole granules
constexpr int kMaxRounds = 4;       // first guess, correction, and two to spare

[[noreturn]] void refuse(const std::string& model, const std::string& what,
                         const std::string& hint) {
  throw Error(ErrorCode::kUnsupported, in_quotes(model) + ": " + what, hint);
}

constexpr char kKeepHint[] = "to keep the copies: --device-copies keep, DeviceCopies::kKeep";

// A session, and what is known of it.
struct Made {
  std::shared_ptr<KeepAlive> keep_alive = std::make_shared<KeepAlive>();
  std::shared_ptr<SessionLog> log = std::make_shared<SessionLog>();
  Ort::Session session{nullptr};
  std::set<std::string_view> offered;  // tensors
  bool used_container = false;
  DeviceReport report;

  uint64_t excess() const {
    return report.own_bytes > report.unshared_bytes ? report.own_bytes - report.unshared_bytes : 0;
  }
  bool is_proven() const { return excess() < kLargeBytes; }  // nothing smaller is shared
};

class Opening {
 public:
  Opening(std::shared_ptr<BundleState> bundle, const ModelRecord& record,
          std::span<const std::byte> model, const SessionOptions& options)
      : bundle_(std::move(bundle)),
        record_(record),
        model_(model),
        options_(options),
        device_(options.device.value()),
        handover_(plan_handover(bundle_->manifest, record, model)) {
    weights_ = bundle_->weights_on(device_);
    const std::lock_guard lock(bundle_->mutex);
    plan_ = bundle_->placements[{device_.ep_device(), record.name}];
  }

  Session open(ModelReport& report) {
    check_options();
    if (options_.tier != Tier::kAuto || keeps_copies()) plan_.may_pack = true;
    const char* no_packing = kOrtSessionOptionsConfigDisablePrepacking;
    if (options_.tier == Tier::kCompact ||
        options_.ort.GetConfigEntryOrDefault(no_packing, "0") == "1") {
      plan_.may_pack = false;
    }
    Made made = make_settled();
    if (!keeps_copies()) made = prove(std::move(made));
    report = describe(made);
    const std::lock_guard lock(bundle_->mutex);
    bundle_->placements[{device_.ep_device(), record_.name}] = plan_;
    return Session(std::move(made.keep_alive), std::move(made.session));
  }

 private:
  bool keeps_copies() const { return options_.device_copies == DeviceCopies::kKeep; }

  void check_options() const {
    if (options_.ort.GetConfigEntryOrDefault(kOrtSessionOptionsConfigUseEnvAllocators, "0") != "1")
      return;
    refuse(record_.name,
           std::string(kOrtSessionOptionsConfigUseEnvAllocators) +
               "=1: all sessions would have one allocator, which cannot tell what each holds",
           "leave it out");
  }

  Place place_of(const TensorRecord& tensor) const {
    const auto found = plan_.places.find(tensor.name);
    return found == plan_.places.end() ? Place::kDevice : found->second;
  }

  std::vector<const TensorRecord*> tensors_at(Place place) const {
    std::vector<const TensorRecord*> tensors;
    for (const TensorRecord* tensor : handover_.shared) {
      if (place_of(*tensor) == place) tensors.push_back(tensor);
    }
    return tensors;
  }

  void offer_on_device(Ort::SessionOptions& ort, Made& made) const {
    const std::vector<const TensorRecord*> tensors = tensors_at(Place::kDevice);
    std::vector<Extent> extents;
    for (const TensorRecord* tensor : tensors) extents.push_back(tensor->extent);
    PlacedBytes placed = weights_->place(extents, bundle_->blobs);
    std::move(placed.buffers.begin(), placed.buffers.end(),
              std::back_inserter(made.keep_alive->owners));
    const auto memory = device_.ep_device().GetMemoryInfo(OrtDeviceMemoryType_DEFAULT);
    for (size_t i = 0; i < tensors.size(); ++i) {
      offer(*tensors[i], memory, placed.addresses[i], ort, made);
    }
  }

  void offer_on_host(Ort::SessionOptions& ort, Made& made) const {
    const auto memory = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault);
    for (const TensorRecord* tensor : tensors_at(Place::kHost)) {
      const MappedFile& blob = bundle_->blobs.at(tensor->extent.blob).value();
      offer(*tensor, memory, slice(blob.bytes(), tensor->extent).data(), ort, made);
      made.report.host_bytes += tensor->extent.size;
    }
  }

  static void offer(const TensorRecord& tensor, const OrtMemoryInfo* memory, const std::byte* bytes,
                    Ort::SessionOptions& ort, Made& made) {
    made.keep_alive->values.push_back(wrap(tensor, memory, bytes));
    ort.AddInitializer(tensor.name.c_str(), made.keep_alive->values.back());
    made.offered.insert(tensor.name);
  }

  Made make() const {
    Made made;
    made.keep_alive->owners = {bundle_, made.log};
    Ort::SessionOptions ort = options_.ort.Clone();
    ort.AppendExecutionProvider_V2(environment(), {device_.ep_device()}, Ort::KeyValuePairs{});
    made.log->attach(ort);
    // Past the arena, which would give out more than is asked for and so blur the proof.
    if (!ort.HasConfigEntry(kOrtSessionOptionsUseDeviceAllocatorForInitializers))
      ort.AddConfigEntry(kOrtSessionOptionsUseDeviceAllocatorForInitializers, "1");
    if (!plan_.may_pack) ort.AddConfigEntry(kOrtSessionOptionsConfigDisablePrepacking, "1");
    offer_on_device(ort, made);
    offer_on_host(ort, made);
    made.used_container = create_session(bundle_->folder / record_.file, ort, options_.tier,
                                         bundle_->packed, made.session);
    made.log->close();
    made.report.provider = device_.provider();
    made.report.may_pack = plan_.may_pack;
    made.report.own_bytes = own_bytes(made.session);
    made.report.unshared_bytes = unshared_bytes(made);
    for (const std::optional<MappedFile>& blob : bundle_->blobs) {
      if (blob) blob->drop_pages();
    }
    return made;
  }

  uint64_t own_bytes(const Ort::Session& session) const {
    const std::optional<DeviceUse> use = device_.use_of(session);
    if (!use && !keeps_copies()) {
      refuse(record_.name,
             "the allocator of " + in_quotes(device_.provider()) +
                 " counts no bytes, so it cannot be proven that weights are shared",
             kKeepHint);
    }
    return use ? use->in_use : 0;
  }

  uint64_t unshared_bytes(const Made& made) const {
    uint64_t bytes = 0;
    for (const WireTensor& tensor : find_wire_tensors(model_).tensors) {
      const WireReference reference = read_wire_reference(model_, tensor);
      if (made.offered.contains(reference.name)) continue;
      const std::optional<Dtype> dtype = find_dtype(reference.dtype);
      const auto size = dtype ? byte_size(*dtype, reference.shape) : std::nullopt;
      bytes += align_up(size.value_or(0), kGranule);
    }
    return bytes;
  }

  // Makes sessions until one takes all that it is offered.
  Made make_settled() {
    for (int round = 1;; ++round) {
      Made made = make();
      if (round == kMaxRounds || !correct_plan(made)) return made;
    }
  }

  // Returns whether `made` was offered anything in the wrong place.
  bool correct_plan(const Made& made) {
    const auto taken = made.log->taken();
    if (taken.empty()) return false;
    bool changed = false;
    for (const TensorRecord* tensor : handover_.shared) {
      const Place place = place_of(*tensor);
      if (place == Place::kLeft) continue;
      const auto found = taken.find(tensor->name);
      Place better = place;
      if (found == taken.end()) {
        better = Place::kLeft;
      } else if (found->second == Taken::kPlannedOnHost) {
        better = place == Place::kDevice ? Place::kHost : Place::kLeft;
      } else if (found->second == Taken::kPlannedElsewhere) {
        better = place == Place::kHost ? Place::kDevice : refuse_elsewhere(*tensor);
      }
      changed = changed || better != place;
      plan_.places[tensor->name] = better;
    }
    return changed;
  }

  Place refuse_elsewhere(const TensorRecord& tensor) const {
    if (keeps_copies()) return Place::kLeft;
    refuse(record_.name,
           "tensor " + in_quotes(tensor.name) + " is planned on another device than " +
               in_quotes(device_.provider()) + "'s, with a copy per session",
           kKeepHint);
  }

  Made prove(Made made) {
    if (made.is_proven()) return made;
    if (plan_.may_pack) {
      const uint64_t packed = made.excess();
      made = Made{};  // frees its memory before the next is made
      plan_.may_pack = false;
      made = make_settled();
      if (made.is_proven() && options_.tier == Tier::kAuto) return made;
      if (made.is_proven()) {
        refuse(record_.name,
               "kernels of " + in_quotes(device_.provider()) + " pack shared weights, " +
                   format_bytes(packed) + " per session on the device",
               std::string("--tier auto keeps them from it; ") + kKeepHint);
      }
    }
    refuse_copies(made);
  }

  [[noreturn]] void refuse_copies(const Made& made) const {
    const std::string bytes = format_bytes(made.report.own_bytes) +
                              " on the device are the session's own, its unshared tensors need " +
                              format_bytes(made.report.unshared_bytes);
    std::string names;
    for (const TensorRecord* tensor : tensors_at(Place::kHost)) {
      if (tensor->extent.size > made.excess() + kLargeBytes) continue;
      names += (names.empty() ? "" : ", ") + in_quotes(tensor->name);
    }
    if (!names.empty()) {
      refuse(record_.name, bytes + ": used on the CPU and on the device: " + names,
             std::string("where a weight is used on both, it needs two names in the model; ") +
                 kKeepHint);
    }
    refuse(record_.name, bytes + ": made by optimisers out of constants, or kept by kernels",
           std::string("a lower optimisation level may avoid it; ") + kKeepHint);
  }

  ModelReport describe(const Made& made) const {
    Handover taken = handover_;
    std::erase_if(taken.shared,
                  [&](const TensorRecord* tensor) { return place_of(*tensor) == Place::kLeft; });
    for (const TensorRecord* tensor : tensors_at(Place::kLeft)) {
      add_left(taken.left, LeftReason::kFolded, tensor->extent.size);
    }
    ModelReport report = make_report(record_, taken);
    report.packed_shared = made.is_proven() && (made.used_container || !made.report.may_pack);
    report.device = made.report;
    return report;
  }

  std::shared_ptr<BundleState> bundle_;
  const ModelRecord& record_;
  std::span<const std::byte> model_;
  const SessionOptions& options_;
  Device device_;
  Handover handover_;
  std::shared_ptr<DeviceWeights> weights_;
  DevicePlan plan_;
};

}  // namespace

Session open_on_device(const std::shared_ptr<BundleState>& bundle, const ModelRecord& record,
                       std::span<const std::byte> model, const SessionOptions& options,
                       ModelReport& report) {
  return Opening(bundle, record, model, options).open(report);
}

}  // namespace wshare
