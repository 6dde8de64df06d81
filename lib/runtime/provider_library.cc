#include "runtime/provider_library.h"

#include <dlfcn.h>
#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <cctype>
#include <mutex>
#include <set>
#include <vector>

#include "runtime/cuda_driver.h"
#include "util/text.h"
#include "wshare/error.h"
#include "wshare/runtime.h"

// What a GPU needs comes from five sides: the driver, the GPU, an ONNX Runtime built for it, its
// provider, and the libraries that the provider is linked with. ONNX Runtime names none of the
// first three, and of the others the loader's first complaint. So they are asked one by one,
// before.

namespace wshare {
namespace {

constexpr char kCuda[] = "CUDAExecutionProvider";
constexpr char kCudaLibrary[] = "libonnxruntime_providers_cuda.so";

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

// Returns ONNX Runtime's own library. (OrtGetApiBase itself may be ours: host_runtime.cc.)
std::filesystem::path runtime_library() {
  Dl_info place{};
  const auto own = reinterpret_cast<const void*>(OrtGetApiBase()->GetVersionString);
  if (::dladdr(own, &place) == 0) return {};
  return std::filesystem::absolute(place.dli_fname);
}

// What is missing, and what helps.
struct Missing {
  std::vector<std::string> parts, hints;

  void add(std::string part, std::string hint) {
    parts.push_back(std::move(part));
    hints.push_back(std::move(hint));
  }
  static std::string join(const std::vector<std::string>& list, const char* between) {
    std::string text;
    for (const std::string& each : list) text += (text.empty() ? "" : between) + each;
    return text;
  }
};

void check_driver(Missing& missing) {
  void* driver = open_cuda_driver();
  if (driver == nullptr) {
    missing.add("the NVIDIA driver (" + std::string(kCudaDriver) + ")",
                "install the NVIDIA driver");
    return;
  }
  int (*init)(unsigned) = nullptr;
  int (*get_count)(int*) = nullptr;
  int count = 0;
  const bool has_both =
      find_function(driver, "cuInit", init) && find_function(driver, "cuDeviceGetCount", get_count);
  int result = has_both ? init(0) : -1;
  if (result == 0) result = get_count(&count);
  if (result == 0 && count > 0) return;
  missing.add("a GPU that the NVIDIA driver can use (it gives " + std::to_string(count) +
                  ", with CUDA error " + std::to_string(result) + ")",
              "'nvidia-smi' says what the driver sees");
}

// The CUDA provider calls functions of ONNX Runtime by their places in a table that a build without
// CUDA does not fill: there it registers and runs some models, and others end the process (Slice,
// If, Attention). Source: ONNX Runtime, ProviderHostCPU in cpu_provider_shared.h.
bool is_built_with_cuda() {
  const std::vector<std::string> built_in = Ort::GetAvailableProviders();
  return std::find(built_in.begin(), built_in.end(), kCuda) != built_in.end();
}

void throw_if_any(const std::string& provider, const Missing& missing) {
  if (missing.parts.empty()) return;
  throw Error(ErrorCode::kUnsupported,
              in_quotes(provider) + ": missing: " + Missing::join(missing.parts, "; "),
              Missing::join(missing.hints, "; "));
}

// Returns the library to register, which exists.
std::filesystem::path find_library(const std::string& provider, std::filesystem::path library) {
  Missing missing;
  const bool is_cuda = is_provider(kCuda, provider);
  if (is_cuda) check_driver(missing);
  if (library.empty() && !is_cuda) {
    throw Error(ErrorCode::kInvalid, in_quotes(provider) + ": no such provider is registered",
                "name the library that has it (--ep-library)");
  }
  const bool was_named = !library.empty();
  if (!was_named) library = runtime_library().parent_path() / kCudaLibrary;
  const bool exists = std::filesystem::is_regular_file(library);
  if (!exists && was_named)
    throw Error(ErrorCode::kIo, in_quotes(library.string()) + ": no such library");
  if (is_cuda && !is_built_with_cuda()) {
    missing.add("ONNX Runtime built with CUDA (" + in_quotes(runtime_library().string()) +
                    " is built without)",
                "take ONNX Runtime's build with CUDA, which has its provider beside it: "
                "tools/setup.sh --cuda, or --onnxruntime with the Python environment that has "
                "onnxruntime-gpu");
  } else if (!exists) {
    missing.add("ONNX Runtime's CUDA provider (" + in_quotes(library.string()) + ")",
                "install the provider of ONNX Runtime " + Ort::GetVersionString() +
                    " (tools/setup.sh --cuda), or name its library (--ep-library)");
  }
  throw_if_any(provider, missing);
  return std::filesystem::canonical(library);
}

// Some providers take the name that they are registered under for their own (ggml), so that is the
// name that the user knows; a second library cannot have it, too.
std::string registration_name(const std::string& provider, const std::filesystem::path& library) {
  static std::set<std::string> taken;
  return taken.insert(provider).second ? provider : library.string();
}

void register_library(const std::string& provider, const std::filesystem::path& library) {
  try {
    environment().RegisterExecutionProviderLibrary(registration_name(provider, library).c_str(),
                                                   library.string());
  } catch (const Ort::Exception& exception) {
    std::string message = exception.what();
    std::replace(message.begin(), message.end(), '\n', ' ');
    Missing missing;
    const std::string needed = missing_library(message);
    if (!needed.empty()) {
      missing.add(in_quotes(needed) + ", which " + in_quotes(library.filename().string()) +
                      " is linked with",
                  "install it in the version of its name, or add its folder to LD_LIBRARY_PATH");
    }
    throw_if_any(provider, missing);
    throw Error(ErrorCode::kRuntime, in_quotes(library.string()) + ": " + message);
  }
}

}  // namespace

bool is_provider(std::string_view name, std::string_view wanted) {
  const std::string a = lower(name), b = lower(wanted);
  return a == b || a == b + "executionprovider";
}

// Source: ONNX Runtime, metadata of OrtEpDevice.
bool has_devices(const std::filesystem::path& library) {
  for (const Ort::ConstEpDevice& device : environment().GetEpDevices()) {
    const char* path = device.EpMetadata().GetValue("library_path");
    std::error_code none;
    if (path != nullptr && std::filesystem::equivalent(path, library, none)) return true;
  }
  return false;
}

void register_provider(const std::string& provider, const std::filesystem::path& library) {
  static std::mutex mutex;
  static std::set<std::filesystem::path> registered;
  const std::filesystem::path file = find_library(provider, library);
  const std::lock_guard lock(mutex);
  if (registered.contains(file)) return;
  if (has_devices(file)) return;  // the user's program has registered it itself
  register_library(provider, file);
  registered.insert(file);
}

// glibc: "libcudnn.so.9: cannot open shared object file: No such file or directory".
std::string missing_library(std::string_view message) {
  const size_t end = message.find(": cannot open shared object file");
  if (end == message.npos) return {};
  const std::string_view before = message.substr(0, end);
  return std::string(before.substr(before.find_last_of(" \t") + 1));
}

}  // namespace wshare
