#pragma once

#include <dlfcn.h>

#include <cstddef>
#include <stdexcept>
#include <string>

namespace wshare::test {

// Returns a function of NVIDIA's driver, without CUDA's toolkit. Throws if there is none.
// Source: NVIDIA, CUDA Driver API.
inline void* driver_function(const char* name) {
  static void* const driver = ::dlopen("libcuda.so.1", RTLD_NOW);
  void* function = driver == nullptr ? nullptr : ::dlsym(driver, name);
  if (function == nullptr) throw std::runtime_error(std::string("no ") + name);
  return function;
}

// Returns the bytes that the first GPU has free, and makes its context the thread's own.
//
// Throws if there is no driver or no GPU.
inline size_t free_bytes_of_gpu() {
  const auto check = [](int result) {
    if (result != 0) throw std::runtime_error("CUDA error " + std::to_string(result));
  };
  check(reinterpret_cast<int (*)(unsigned)>(driver_function("cuInit"))(0));
  static void* context = nullptr;  // the one of the CUDA runtime, and so of ONNX Runtime
  if (context == nullptr)
    check(reinterpret_cast<int (*)(void**, int)>(driver_function("cuDevicePrimaryCtxRetain"))(
        &context, 0));
  check(reinterpret_cast<int (*)(void*)>(driver_function("cuCtxSetCurrent"))(context));
  size_t free = 0, total = 0;
  check(reinterpret_cast<int (*)(size_t*, size_t*)>(driver_function("cuMemGetInfo_v2"))(&free,
                                                                                        &total));
  return free;
}

}  // namespace wshare::test
