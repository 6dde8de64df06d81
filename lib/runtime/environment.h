#pragma once

#include <onnxruntime_cxx_api.h>

#include <string>

#include "wshare/environment.h"
#include "wshare/runtime.h"

namespace wshare {

// Returns a copy of `options.ort` for a session of `model` that takes part in what environment()
// shares.
//
// Throws Error(kUnsupported), with its name, if an entry contradicts how wshare shares weights,
// threads or memory: ONNX Runtime would take one and drop the other without a word.
Ort::SessionOptions join_environment(const std::string& model, const SessionOptions& options);

// Throws Error(kUnsupported), with its name, if a provider that `options` does not name runs nodes
// of `session`, whose options join_environment() gave.
void check_providers(const std::string& model, const SessionOptions& options,
                     const Ort::Session& session);

}  // namespace wshare
