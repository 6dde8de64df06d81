#pragma once

#include <onnxruntime_cxx_api.h>

#include <filesystem>
#include <string>

namespace wshare {

// Where to look for ONNX Runtime before all other places: the path of a library, of a folder that
// holds one, or of a Python environment.
inline constexpr char kRuntimeVariable[] = "WSHARE_ONNXRUNTIME";

// The ONNX Runtime that this process works with.
struct HostRuntime {
  const OrtApiBase* base = nullptr;
  std::filesystem::path library;  // empty where the system does not say
  std::string origin;             // why this one: "beside wshare"
};

// Returns what this process uses, looked for at the first call that finds one; it stays the same
// then. To be called before anything else that uses ONNX Runtime.
//
// The first of: what kRuntimeVariable names; the one that the process has loaded already; one
// beside this program or library, or in LD_LIBRARY_PATH; the one of the active virtual environment
// (VIRTUAL_ENV); the system's.
//
// Throws Error(kUnsupported) if there is none, or only one that is older than 1.20
// (older_runtime.h).
const HostRuntime& host_runtime();

// Makes it `base`. Throws Error(kInvalid) if another one is in use, Error(kUnsupported) if it is
// too old.
void use_host_runtime(const OrtApiBase* base);

}  // namespace wshare
