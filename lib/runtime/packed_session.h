#pragma once

#include <memory>
#include <optional>
#include <string>

#include "runtime/bundle_state.h"
#include "wshare/runtime.h"

namespace wshare {

// Returns why no session of `part` with `options` can be made over a pack, or "" if there is one
// for this ONNX Runtime and this CPU. Reads no weights.
std::string why_not_packed(const BundleState& bundle, const ModelPart& part,
                           const SessionOptions& options);

// Makes a session over the pack of `part`, which why_not_packed() has nothing against, and fills
// in `report`; none if it turns out to hold copies of what is packed: `report.why` then says so.
//
// Throws Error(kInvalid) if the pack is damaged (of its weights: where the bundle was opened to
// check them), Ort::Exception if ONNX Runtime refuses it.
std::optional<Session> open_packed(const std::shared_ptr<BundleState>& bundle,
                                   const ModelPart& part, const SessionOptions& options,
                                   ModelReport& report);

}  // namespace wshare
