#pragma once

#include <dlfcn.h>

#include <cstddef>
#include <stdexcept>

namespace wshare::test {

// Returns the bytes that the first GPU has free, asked of NVIDIA's driver, without CUDA's toolkit.
//
// Throws if there is no driver or no GPU. Source: CUDA Driver API, cuMemGetInfo.
inline size_t free_bytes_of_gpu() {
  static void* const driver = ::dlopen("libcuda.so.1", RTLD_NOW);
  const auto find = [](const char* name) {
    void* function = driver == nullptr ? nullptr : ::dlsym(driver, name);
    if (function == nullptr) throw std::runtime_error(std::string("no ") + name);
    return function;
  };
  const auto check = [](int result) {
    if (result != 0) throw std::runtime_error("CUDA error " + std::to_string(result));
  };
  check(reinterpret_cast<int (*)(unsigned)>(find("cuInit"))(0));
  static void* context = nullptr;  // the one of the CUDA runtime, and so of ONNX Runtime
  if (context == nullptr)
    check(reinterpret_cast<int (*)(void**, int)>(find("cuDevicePrimaryCtxRetain"))(&context, 0));
  check(reinterpret_cast<int (*)(void*)>(find("cuCtxSetCurrent"))(context));
  size_t free = 0, total = 0;
  check(reinterpret_cast<int (*)(size_t*, size_t*)>(find("cuMemGetInfo_v2"))(&free, &total));
  return free;
}

}  // namespace wshare::test
