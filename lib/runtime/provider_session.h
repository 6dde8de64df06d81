#pragma once

#include "runtime/bundle_state.h"

namespace wshare {

// Returns a new session of `record` on options.device, which shares by itself, over the model's own
// file: `model` holds its bytes. ONNX Runtime hands its weights to nobody.
//
// Throws Error(kInvalid) if the manifest and the model say different things of a tensor;
// Ort::Exception.
Session open_by_provider(const std::shared_ptr<BundleState>& bundle, const ModelRecord& record,
                         std::span<const std::byte> model, const SessionOptions& options,
                         ModelReport& report);

}  // namespace wshare
