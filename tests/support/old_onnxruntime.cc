// An ONNX Runtime that is too old for wshare, for tests of what is said then.

#include <onnxruntime_c_api.h>

namespace {

const OrtApi* ORT_API_CALL get_api(uint32_t) noexcept { return nullptr; }
const char* ORT_API_CALL get_version() noexcept { return "1.19.2"; }

const OrtApiBase base = {get_api, get_version};

}  // namespace

extern "C" ORT_EXPORT const OrtApiBase* ORT_API_CALL OrtGetApiBase() noexcept { return &base; }
