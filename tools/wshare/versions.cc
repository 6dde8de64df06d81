#include "versions.h"

#include <google/protobuf/stubs/common.h>
#ifdef WSHARE_HAS_ONNXRUNTIME
#include "runtime/host_runtime.h"
#endif
#include "version.h"
#include "wshare/error.h"

namespace wshare {
namespace {

std::string onnxruntime_version() {
#ifdef WSHARE_HAS_ONNXRUNTIME
  try {
    const HostRuntime& runtime = host_runtime();
    return std::string(runtime.base->GetVersionString()) + " (" + runtime.library.string() + ", " +
           runtime.origin + ")";
  } catch (const Error& error) {
    return std::string("none: ") + error.what();
  }
#else
  return "none (built without it: no 'wshare run')";
#endif
}

}  // namespace

std::string versions_text() {
  return std::string("wshare ") + kVersion + "\nONNX Runtime " + onnxruntime_version() + "\nonnx " +
         kOnnxVersion + "\nprotobuf " +
         google::protobuf::internal::VersionString(GOOGLE_PROTOBUF_VERSION);
}

}  // namespace wshare
