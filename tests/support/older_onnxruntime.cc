// The ONNX Runtime of the tests, as if it were 1.20: with that version, and none of the functions
// that came later.

#include <dlfcn.h>
#include <onnxruntime_c_api.h>

#include <cstring>

namespace {

constexpr uint32_t kRelease = 20;
constexpr size_t kFunctions = 285;  // of OrtApi in 1.20

const OrtApi* ORT_API_CALL get_api(uint32_t version) noexcept {
  using GetApiBase = const OrtApiBase*(ORT_API_CALL*)();
  static void* const library = dlopen(WSHARE_REAL_ONNXRUNTIME, RTLD_NOW | RTLD_LOCAL);
  if (version > kRelease || library == nullptr) return nullptr;
  const auto base = reinterpret_cast<GetApiBase>(dlsym(library, "OrtGetApiBase"))();
  static OrtApi api;  // behind what 1.20 has: nothing that can be called
  std::memcpy(&api, base->GetApi(version), kFunctions * sizeof(void*));
  return &api;
}
const char* ORT_API_CALL get_version() noexcept { return "1.20.1"; }

const OrtApiBase base = {get_api, get_version};

}  // namespace

extern "C" ORT_EXPORT const OrtApiBase* ORT_API_CALL OrtGetApiBase() noexcept { return &base; }
