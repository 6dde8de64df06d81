#include "versions.h"

#include <google/protobuf/stubs/common.h>
#ifdef WSHARE_HAS_ONNXRUNTIME
#include <onnxruntime_c_api.h>
#endif

#include "version.h"

namespace wshare {
namespace {

std::string onnxruntime_version() {
#ifdef WSHARE_HAS_ONNXRUNTIME
  return OrtGetApiBase()->GetVersionString();
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
