#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "runtime/bundle_state.h"
#include "wshare/runtime.h"

namespace wshare {

// What came of the packs of a model.
struct PackedAttempt {
  std::optional<Session> session;
  ModelReport report;                          // of the session
  std::string why;                             // there is none
  std::map<std::string, std::string> refused;  // by file of a pack: why it was tried in vain
};

// Makes a session of `part` over the first of its packs that serves this ONNX Runtime and this CPU:
// those of this release come first.
//
// Throws Error(kInvalid) if a pack is damaged (of its weights: where the bundle was opened to
// check them).
PackedAttempt open_packed(const std::shared_ptr<BundleState>& bundle, const ModelPart& part,
                          const SessionOptions& options);

}  // namespace wshare
