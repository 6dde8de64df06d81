#pragma once

#include <onnxruntime_cxx_api.h>

namespace wshare {

// Returns the ONNX Runtime that this shared library uses, looked for at the first call that finds
// one; it stays the same then. Must be called before anything else that uses ONNX Runtime.
//
// Throws Error(kUnsupported) if there is none, or only one that is older than what wshare was built
// with.
const OrtApiBase* host_runtime();

// Makes it `base`. Throws Error(kInvalid) if another one is in use, Error(kUnsupported) if it is
// too old.
void use_host_runtime(const OrtApiBase* base);

}  // namespace wshare
