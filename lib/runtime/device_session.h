#pragma once

#include "runtime/bundle_state.h"

namespace wshare {

// Returns a new session of `record` on options.device over the weights there, and what it shares
// in `report`; `model` holds the bytes of its .onnx.
//
// Throws Error(kUnsupported) if the session holds more than its own tensors on the device, unless
// options.device_copies keeps that; the message names what it is. Errors of plan_handover();
// Ort::Exception.
Session open_on_device(const std::shared_ptr<BundleState>& bundle, const ModelRecord& record,
                       std::span<const std::byte> model, const SessionOptions& options,
                       ModelReport& report);

}  // namespace wshare
