#include "runtime/host_runtime.h"

#include <dlfcn.h>

#include <atomic>
#include <cstdlib>
#include <mutex>

#include "runtime/find_runtime.h"
#include "runtime/older_runtime.h"
#include "runtime/ort_errors.h"
#include "util/text.h"
#include "wshare/error.h"

// Which ONNX Runtime wshare and libwshare_runtime.so work with. A service has one already (from
// NuGet, a wheel, a crate), under a path that we do not know, and its pointers mean nothing to a
// second one; and packs are for the very library that serves. So neither is linked with any: the
// only function that they would import is OrtGetApiBase(), which is defined here instead, and gives
// the one that was found, filled in where it is older (older_runtime.h). Ort::GetApi() asks it at
// the first use, not when the program starts.

namespace fs = std::filesystem;

namespace wshare {
namespace {

constexpr char kFunction[] = "OrtGetApiBase";

std::mutex mutex;
std::atomic<const HostRuntime*> chosen{nullptr};  // set once, and never destroyed

std::string oldest_version() { return "1." + std::to_string(kOldestRelease); }

std::string describe(const HostRuntime& runtime) {
  std::string text = std::string("ONNX Runtime ") + runtime.base->GetVersionString();
  if (!runtime.library.empty()) text += " (" + in_quotes(runtime.library.string()) + ")";
  return text;
}

// What OrtGetApiBase() gives where the one in use is older than wshare's headers: its own table
// with what it lacks filled in. Guarded by mutex; set once.
const OrtApi* filled_in = nullptr;
OrtApiBase older_base{};

const OrtApi* ORT_API_CALL get_filled_in(uint32_t version) noexcept {
  return version == ORT_API_VERSION ? filled_in : nullptr;
}

// GetApi() of an old one would print to stderr, so its version is asked first.
void take(const HostRuntime& runtime) {
  const unsigned release = release_in(runtime.base->GetVersionString());
  if (release >= ORT_API_VERSION && runtime.base->GetApi(ORT_API_VERSION) != nullptr) return;
  if (release >= kOldestRelease && release < ORT_API_VERSION)
    filled_in = older_api(*runtime.base, release);
  older_base = {get_filled_in, runtime.base->GetVersionString};
  if (filled_in != nullptr) return;
  throw Error(
      ErrorCode::kUnsupported,
      describe(runtime) + " is in use, wshare needs " + oldest_version() + " or newer",
      "update that ONNX Runtime, or give another one (" + std::string(kRuntimeVariable) + ")");
}

// Returns what `function`, an OrtGetApiBase(), stands for.
HostRuntime runtime_of(void* function, const std::string& origin) {
  using GetApiBase = const OrtApiBase*(ORT_API_CALL*)();
  HostRuntime runtime;
  runtime.base = reinterpret_cast<GetApiBase>(function)();
  runtime.origin = origin;
  Dl_info library{};
  if (::dladdr(function, &library) != 0 && library.dli_fname != nullptr)
    runtime.library = library.dli_fname;
  if (runtime.base != nullptr) return runtime;
  throw Error(ErrorCode::kUnsupported,
              in_quotes(runtime.library.string()) + ": " + kFunction + "() gives nothing");
}

[[noreturn]] void fail_loading(const fs::path& library, const std::string& why) {
  throw Error(ErrorCode::kUnsupported,
              in_quotes(library.string()) + ": cannot be loaded as ONNX Runtime: " + why);
}

HostRuntime load(const fs::path& library, const std::string& origin) {
  void* const handle = ::dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) fail_loading(library, ::dlerror());
  void* const function = ::dlsym(handle, kFunction);
  if (function == nullptr)
    fail_loading(library, std::string("it has no function ") + kFunction + "()");
  return runtime_of(function, origin);
}

// The function of an ONNX Runtime that the process has loaded, or null.
void* find_loaded() {
  void* const visible = ::dlsym(RTLD_DEFAULT, kFunction);
  if (visible != nullptr && visible != reinterpret_cast<void*>(&OrtGetApiBase)) return visible;
  void* const hidden = ::dlopen(kRuntimeSoname, RTLD_NOW | RTLD_NOLOAD);
  return hidden == nullptr ? nullptr : ::dlsym(hidden, kFunction);
}

HostRuntime search() {
  if (const char* const given = std::getenv(kRuntimeVariable); given != nullptr && *given != '\0')
    return load(runtime_library_in(given), "given");
  if (void* const loaded = find_loaded()) return runtime_of(loaded, "of this process");
  std::error_code ignored;
  for (const fs::path& folder : own_library_folders()) {
    if (fs::exists(folder / kRuntimeSoname, ignored))
      return load(folder / kRuntimeSoname, "beside wshare");
  }
  if (const auto library = runtime_of_environment())
    return load(*library, "of the virtual environment");
  if (void* const handle = ::dlopen(kRuntimeSoname, RTLD_NOW | RTLD_LOCAL)) {
    if (void* const function = ::dlsym(handle, kFunction))
      return runtime_of(function, "of the system");
  }
  throw Error(
      ErrorCode::kUnsupported,
      "this process has no ONNX Runtime, and " + in_quotes(kRuntimeSoname) + " is not found",
      "say where ONNX Runtime " + oldest_version() + " or newer is: " + kRuntimeVariable +
          "=PATH, a library, a folder or a Python environment");
}

}  // namespace

const HostRuntime& host_runtime() {
  if (const HostRuntime* runtime = chosen) return *runtime;
  const std::lock_guard lock(mutex);
  if (chosen == nullptr) {
    HostRuntime found = search();
    take(found);
    chosen = new HostRuntime(std::move(found));
  }
  return *chosen;
}

void use_host_runtime(const OrtApiBase* base) {
  const std::lock_guard lock(mutex);
  if (chosen != nullptr) {
    if (chosen.load()->base == base) return;
    throw Error(ErrorCode::kInvalid, "another ONNX Runtime is in use already",
                "call wshare_use_onnxruntime() before all other functions");
  }
  HostRuntime given{base, {}, "of this process"};
  take(given);
  chosen = new HostRuntime(std::move(given));
}

}  // namespace wshare

// Where nobody has asked host_runtime() before, what it says of a failure is lost here.
extern "C" const OrtApiBase* ORT_API_CALL OrtGetApiBase(void) NO_EXCEPTION {
  try {
    const OrtApiBase* const base = wshare::host_runtime().base;
    return wshare::filled_in == nullptr ? base : &wshare::older_base;
  } catch (const std::exception&) {
    return nullptr;
  }
}
