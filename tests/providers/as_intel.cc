// A plugin provider, for tests, that is another one ($WSHARE_AS_INTEL), which sees all hardware as
// Intel's: OpenVINO's offers its CPU device to that vendor alone.

#include <dlfcn.h>
#include <onnxruntime_c_api.h>

#include <cstdlib>

#define WSHARE_PLUGIN_EXPORT extern "C" __attribute__((visibility("default")))

namespace {

constexpr uint32_t kIntel = 0x8086;

// What the plugin is given in place of ONNX Runtime's own.
const OrtApiBase* real_base;
OrtApiBase base;
OrtApi api;

uint32_t ORT_API_CALL intel(const OrtHardwareDevice*) noexcept { return kIntel; }

const OrtApi* ORT_API_CALL get_api(uint32_t version) noexcept {
  if (version > ORT_API_VERSION) return nullptr;  // of a table that is longer than ours
  const OrtApi* real = real_base->GetApi(version);
  if (real == nullptr) return nullptr;
  api = *real_base->GetApi(ORT_API_VERSION);
  api.HardwareDevice_VendorId = intel;
  return &api;
}

template <typename Function>
Function function_of_plugin(const char* name) {
  const char* path = std::getenv("WSHARE_AS_INTEL");
  static void* const plugin = ::dlopen(path == nullptr ? "" : path, RTLD_NOW | RTLD_LOCAL);
  return plugin == nullptr ? nullptr : reinterpret_cast<Function>(::dlsym(plugin, name));
}

}  // namespace

WSHARE_PLUGIN_EXPORT OrtStatus* CreateEpFactories(const char* name, const OrtApiBase* given,
                                                  const OrtLogger* logger, OrtEpFactory** factories,
                                                  size_t capacity, size_t* count) {
  real_base = given;
  base = *given;
  base.GetApi = get_api;
  const auto create = function_of_plugin<CreateEpApiFactoriesFn>("CreateEpFactories");
  if (create == nullptr)
    return given->GetApi(ORT_API_VERSION)->CreateStatus(ORT_FAIL, "WSHARE_AS_INTEL: no plugin");
  return create(name, &base, logger, factories, capacity, count);
}

WSHARE_PLUGIN_EXPORT OrtStatus* ReleaseEpFactory(OrtEpFactory* factory) {
  return function_of_plugin<ReleaseEpApiFactoryFn>("ReleaseEpFactory")(factory);
}
