#include "runtime/host_runtime.h"

#include <dlfcn.h>

#include <atomic>
#include <charconv>
#include <mutex>
#include <string>
#include <string_view>

#include "util/text.h"
#include "wshare/error.h"

// Which ONNX Runtime libwshare_runtime.so works with. A service in another language has one already
// (from NuGet, a wheel, a crate), under a path that we do not know, and its pointers mean nothing
// to a second one. So the shared library is not linked with any: the only function that it would
// import is OrtGetApiBase(), which is defined here instead, kept out of sight (runtime_c.map), and
// gives the one of the process. Ort::GetApi() asks it at the first use, not when the library is
// loaded.

namespace wshare {
namespace {

constexpr char kLibrary[] = "libonnxruntime.so.1";  // its soname; 1.x keeps it
constexpr char kFunction[] = "OrtGetApiBase";

std::mutex mutex;
std::atomic<const OrtApiBase*> chosen{nullptr};

std::string needed_version() { return "1." + std::to_string(ORT_API_VERSION); }

// GetApi() of an old one would print to stderr, so its version is asked first.
void check_version(const OrtApiBase* base) {
  const std::string_view version = base->GetVersionString();
  unsigned minor = 0;
  const bool is_one = version.starts_with("1.");
  if (is_one) std::from_chars(version.data() + 2, version.data() + version.size(), minor);
  if (is_one && minor >= ORT_API_VERSION && base->GetApi(ORT_API_VERSION) != nullptr) return;
  throw Error(ErrorCode::kUnsupported,
              "ONNX Runtime " + std::string(version) + " is in use, wshare needs " +
                  needed_version() + " or newer",
              "update ONNX Runtime in this program, or build wshare with the one that it has");
}

// Returns the function of the process's ONNX Runtime, null if there is none.
void* find_function() {
  if (void* visible = ::dlsym(RTLD_DEFAULT, kFunction)) return visible;
  void* library = ::dlopen(kLibrary, RTLD_NOW | RTLD_NOLOAD);  // loaded, but not for all to see
  if (library == nullptr) library = ::dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
  return library == nullptr ? nullptr : ::dlsym(library, kFunction);
}

const OrtApiBase* search() {
  using GetApiBase = const OrtApiBase*(ORT_API_CALL*)();
  const auto function = reinterpret_cast<GetApiBase>(find_function());
  const OrtApiBase* base = function == nullptr ? nullptr : function();
  if (base != nullptr) return base;
  throw Error(ErrorCode::kUnsupported,
              "this process has no ONNX Runtime, and " + in_quotes(kLibrary) + " is not found",
              "load ONNX Runtime " + needed_version() +
                  " or newer first, or give it with wshare_use_onnxruntime()");
}

}  // namespace

const OrtApiBase* host_runtime() {
  if (const OrtApiBase* base = chosen) return base;
  const std::lock_guard lock(mutex);
  if (chosen == nullptr) {
    const OrtApiBase* base = search();
    check_version(base);
    chosen = base;
  }
  return chosen;
}

void use_host_runtime(const OrtApiBase* base) {
  const std::lock_guard lock(mutex);
  if (chosen != nullptr && chosen != base) {
    throw Error(ErrorCode::kInvalid, "another ONNX Runtime is in use already",
                "call wshare_use_onnxruntime() before all other functions");
  }
  check_version(base);
  chosen = base;
}

}  // namespace wshare

extern "C" const OrtApiBase* ORT_API_CALL OrtGetApiBase(void) NO_EXCEPTION {
  return wshare::chosen;  // all functions of runtime_c.h that come here have asked host_runtime()
}
