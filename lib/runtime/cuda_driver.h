#pragma once

#include <dlfcn.h>

namespace wshare {

// NVIDIA's driver, without CUDA's toolkit. All its functions return 0 if they succeed.
// Source: NVIDIA, CUDA Driver API.
inline constexpr char kCudaDriver[] = "libcuda.so.1";

// Returns the library; null where there is none. It stays loaded: CUDA cannot be unloaded.
inline void* open_cuda_driver() { return ::dlopen(kCudaDriver, RTLD_NOW | RTLD_LOCAL); }

// Sets `function` to the one called `name` of `library`; false if it has none.
template <typename Function>
bool find_function(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
  return function != nullptr;
}

}  // namespace wshare
