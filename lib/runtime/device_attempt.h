#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <span>
#include <string_view>
#include <vector>

#include "format/layout.h"
#include "runtime/bundle_state.h"
#include "runtime/free_memory.h"
#include "runtime/handover.h"
#include "runtime/session_log.h"
#include "runtime/session_parts.h"

namespace wshare {

// What a session on a device is made of, whatever the plan. What it refers to must outlive it.
struct DeviceRequest {
  std::shared_ptr<BundleState> bundle;
  const ModelRecord& record;
  std::span<const std::byte> model;  // the bytes of its .onnx
  const SessionOptions& options;     // with a device
  Handover handover;                 // of the model
  std::shared_ptr<DeviceWeights> weights;

  bool keeps_copies() const { return options.device_copies == DeviceCopies::kKeep; }
};

// Returns where `plan` takes `tensor` from.
TakenFrom taken_from(const DevicePlan& plan, const TensorRecord& tensor);

// Returns the tensors of `handover.shared` that `plan` takes from `place`.
std::vector<const TensorRecord*> tensors_at(const Handover& handover, const DevicePlan& plan,
                                            TakenFrom place);

// A session on a device, and what is known of it. Not to be assigned to while there is a session,
// which would end after what it points into.
struct DeviceAttempt {
  std::shared_ptr<KeepAlive> keep_alive = std::make_shared<KeepAlive>();
  std::shared_ptr<SessionLog> log;
  Ort::Session session{nullptr};
  std::set<std::string_view> offered;  // tensors
  bool used_container = false;
  bool needs_measuring = false;  // in another way: to be made once more
  DeviceReport report;

  uint64_t offered_bytes = 0;  // on the device

  // Returns by how much the session's own bytes exceed what its unshared tensors may take.
  uint64_t excess() const {
    return report.own_bytes > report.unshared_bytes ? report.own_bytes - report.unshared_bytes : 0;
  }
  // True if what is in excess is no copy of a shared weight: nothing smaller is shared. Free memory
  // moves in blocks, and by what kernels and libraries take beside weights.
  bool is_proven() const {
    const bool is_coarse = report.proof == DeviceProof::kFreeMemory;
    return excess() < (is_coarse ? 2 * kDriverBlock + offered_bytes / 20 : kLargeBytes);
  }
};

// Makes a session that is offered what `plan` says; with `may_pack` unset, its kernels pack
// nothing; with `absent`, there is nothing where it could read what it is offered, and it packs
// nothing.
//
// Throws Ort::Exception, also where it reads what is absent; Error(kRuntime) if there is no room on
// the device.
DeviceAttempt attempt_on_device(const DeviceRequest& request, const DevicePlan& plan, bool may_pack,
                                bool absent = false);

// Throws Error(kUnsupported) for the model, with the hint and how to keep copies all the same.
[[noreturn]] void refuse_on_device(const DeviceRequest& request, const std::string& what,
                                   const std::string& hint = {});

}  // namespace wshare
