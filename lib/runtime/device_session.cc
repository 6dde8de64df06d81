#include "runtime/device_session.h"

#include <onnxruntime_session_options_config_keys.h>

#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "runtime/device_attempt.h"
#include "runtime/map_room.h"
#include "runtime/ort_errors.h"
#include "runtime/outline.h"
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
//
// Where nothing counts bytes, neither provider nor driver, absence is the proof: the session is
// made of a model whose shared weights lie where no file has them, and of kernels that may not
// pack. What it does not see is the second copy of a weight that is taken from the map, so such a
// weight may have one reader only.

namespace wshare {
namespace {

constexpr char kSplit[] =
    "'wshare dedupe --split-device-uses nodes' (or operators) gives it a name for each use";
constexpr int kMaxRounds = 4;  // first guess, correction, and two to spare

class Opening {
 public:
  explicit Opening(DeviceRequest request)
      : request_(std::move(request)), device_(*request_.options.device) {
    const std::lock_guard lock(request_.bundle->mutex);
    plan_ = request_.bundle->placements[key()];
  }

  Session open(ModelReport& report) {
    check_options();
    require_map_room(request_.record.name, count_left(request_.handover.left));
    may_pack_ =
        options().tier != Tier::kCompact && !is_set(kOrtSessionOptionsConfigDisablePrepacking);
    if (options().tier == Tier::kAuto && !request_.keeps_copies() && plan_.packs_copies)
      may_pack_ = false;
    DeviceAttempt made = request_.keeps_copies() ? make() : prove(make());
    report = describe(made);
    const std::lock_guard lock(request_.bundle->mutex);
    request_.bundle->placements[key()] = std::move(plan_);
    return Session(std::move(made.keep_alive), std::move(made.session));
  }

 private:
  const SessionOptions& options() const { return request_.options; }
  std::pair<const OrtEpDevice*, std::string> key() const {
    return {device_.ep_device(), request_.record.name};
  }
  bool is_set(const char* entry) const {
    return options().ort.GetConfigEntryOrDefault(entry, "0") == "1";
  }

  void check_options() const {
    if (!is_set(kOrtSessionOptionsConfigUseEnvAllocators)) return;
    throw Error(ErrorCode::kUnsupported,
                in_quotes(request_.record.name) + ": " + kOrtSessionOptionsConfigUseEnvAllocators +
                    "=1: all sessions would have one allocator, which cannot tell what each holds",
                "leave it out");
  }

  bool goes_by_absence() const {
    return request_.weights->meter() == DeviceMeter::kAbsence && !request_.keeps_copies();
  }

  // Makes sessions until one takes all that it is offered.
  DeviceAttempt make() {
    if (goes_by_absence()) {
      if (auto made = attempt_absent()) return std::move(*made);
    }
    {
      DeviceAttempt made = make_by_log();
      if (!goes_by_absence()) return made;
    }  // its memory goes before it is made anew
    std::string why;
    if (auto made = attempt_absent(&why)) return std::move(*made);
    refuse_on_device(request_, "ONNX Runtime does not take all weights from " +
                                   in_quotes(device_.provider()) + ": " + why);
  }

  DeviceAttempt make_by_log() {
    for (int round = 1;; ++round) {
      DeviceAttempt made = attempt();
      if (round == kMaxRounds || !correct_plan(made)) return made;
    }
  }

  DeviceAttempt attempt() {
    {
      DeviceAttempt made = attempt_on_device(request_, plan_, may_pack_);
      if (!made.needs_measuring || goes_by_absence()) return made;
    }  // its memory goes before it is made anew
    return attempt_on_device(request_, plan_, may_pack_);
  }

  // Returns nothing, and why, if it reads what it was offered, or the log says that it left some.
  std::optional<DeviceAttempt> attempt_absent(std::string* why = nullptr) {
    refuse_hidden_copies();
    try {
      std::optional<DeviceAttempt> made(attempt_on_device(request_, plan_, false, true));
      if (!correct_plan(*made)) return made;
      if (why != nullptr) *why = "its log says so";
    } catch (const Ort::Exception& exception) {
      if (why != nullptr) *why = one_line(exception.what());
    }
    return std::nullopt;
  }

  // A weight that is used on the device, too, has a copy there that nothing counts.
  void refuse_hidden_copies() const {
    std::map<std::string_view, size_t> readers;
    for (const OutlineNode& node : read_nodes(request_.model)) {
      for (const std::string_view input : node.inputs) ++readers[input];
    }
    std::string names;
    for (const TensorRecord* tensor : tensors_at(request_.handover, plan_, TakenFrom::kHost)) {
      if (readers[tensor->name] > 1) names += (names.empty() ? "" : ", ") + in_quotes(tensor->name);
    }
    if (names.empty()) return;
    refuse_on_device(request_,
                     "used on the CPU and by other nodes, of which " +
                         in_quotes(device_.provider()) +
                         " does not tell whether they have copies: " + names,
                     kSplit);
  }

  // Returns whether `made` was offered anything in the wrong place.
  bool correct_plan(const DeviceAttempt& made) {
    const auto taken = made.log->taken();
    if (taken.empty()) return false;
    bool changed = false;
    for (const TensorRecord* tensor : request_.handover.shared) {
      const TakenFrom place = taken_from(plan_, *tensor);
      if (place == TakenFrom::kLeft) continue;
      const auto found = taken.find(tensor->name);
      TakenFrom better = place;
      if (found == taken.end()) {
        better = TakenFrom::kLeft;
      } else if (found->second == Taken::kPlannedOnHost) {
        better = place == TakenFrom::kDevice ? TakenFrom::kHost : TakenFrom::kLeft;
      } else if (found->second == Taken::kPlannedElsewhere) {
        better = place == TakenFrom::kHost ? TakenFrom::kDevice : refuse_elsewhere(*tensor);
      }
      changed = changed || better != place;
      plan_.taken_from[tensor->name] = better;
    }
    return changed;
  }

  TakenFrom refuse_elsewhere(const TensorRecord& tensor) const {
    if (request_.keeps_copies()) return TakenFrom::kLeft;
    refuse_on_device(request_, "tensor " + in_quotes(tensor.name) +
                                   " is planned on another device than " +
                                   in_quotes(device_.provider()) + "'s, with a copy per session");
  }

  DeviceAttempt prove(DeviceAttempt first) {
    if (first.is_proven()) return first;
    if (!may_pack_) refuse_copies(first);
    const uint64_t packed = first.excess();
    { const DeviceAttempt ended = std::move(first); }  // its memory goes before more is taken
    may_pack_ = false;
    DeviceAttempt second = make();
    if (!second.is_proven()) refuse_copies(second);
    if (options().tier != Tier::kAuto) {
      refuse_on_device(request_,
                       "kernels of " + in_quotes(device_.provider()) + " pack shared weights, " +
                           format_bytes(packed) + " per session on the device",
                       "--tier auto keeps them from it");
    }
    plan_.packs_copies = true;
    return second;
  }

  // Returns the folded tensors that nodes of another kind read, too, and so may be used as they
  // are.
  std::vector<const TensorRecord*> folded_and_used() const {
    std::map<std::string_view, std::set<std::string_view>> readers;
    for (const OutlineNode& node : read_nodes(request_.model)) {
      for (const std::string_view input : node.inputs) readers[input].insert(node.op_type);
    }
    std::vector<const TensorRecord*> tensors;
    for (const TensorRecord& tensor : request_.record.tensors) {
      const bool is_large = tensor.extent.size >= kLargeBytes;
      if (tensor.folded && is_large && readers[tensor.name].size() > 1) tensors.push_back(&tensor);
    }
    return tensors;
  }

  // Names those of `tensors` of which a copy can be what `made` has in excess.
  static std::string suspects(const DeviceAttempt& made,
                              const std::vector<const TensorRecord*>& tensors) {
    std::string names;
    for (const TensorRecord* tensor : tensors) {
      if (tensor->extent.size > made.excess() + kLargeBytes) continue;
      names += (names.empty() ? "" : ", ") + in_quotes(tensor->name);
    }
    return names;
  }

  [[noreturn]] void refuse_copies(const DeviceAttempt& made) const {
    const std::string bytes = format_bytes(made.report.own_bytes) +
                              " on the device are the session's own, its unshared tensors need " +
                              format_bytes(made.report.unshared_bytes);
    const std::string on_host =
        suspects(made, tensors_at(request_.handover, plan_, TakenFrom::kHost));
    if (!on_host.empty())
      refuse_on_device(request_, bytes + ": used on the CPU and on the device: " + on_host, kSplit);
    const std::string folded = suspects(made, folded_and_used());
    if (!folded.empty()) {
      refuse_on_device(
          request_, bytes + ": used as it is and computed with by optimisers: " + folded, kSplit);
    }
    refuse_on_device(request_, bytes + ": made by optimisers out of constants, or kept by kernels",
                     "a lower optimisation level may avoid it");
  }

  ModelReport describe(const DeviceAttempt& made) const {
    Handover taken = request_.handover;
    std::erase_if(taken.shared, [&](const TensorRecord* tensor) {
      return taken_from(plan_, *tensor) == TakenFrom::kLeft;
    });
    for (const TensorRecord* tensor : tensors_at(request_.handover, plan_, TakenFrom::kLeft)) {
      add_left(taken.left, LeftReason::kFolded, tensor->extent.size);
    }
    ModelReport report = make_report(request_.record, taken);
    report.packed_shared = made.is_proven() && (made.used_container || !made.report.may_pack);
    report.device = made.report;
    return report;
  }

  DeviceRequest request_;
  Device device_;
  DevicePlan plan_;
  bool may_pack_ = true;
};

}  // namespace

Session open_on_device(const std::shared_ptr<BundleState>& bundle, const ModelRecord& record,
                       std::span<const std::byte> model, const SessionOptions& options,
                       ModelReport& report) {
  return Opening({bundle, record, model, options,
                  plan_handover(bundle->files.records(), record, model),
                  bundle->weights_on(options.device.value())})
      .open(report);
}

}  // namespace wshare
