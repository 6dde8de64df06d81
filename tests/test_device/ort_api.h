#pragma once

// ONNX Runtime's C++ API in a plugin, which is handed the API instead of linking it.
#define ORT_API_MANUAL_INIT
#include <onnxruntime_cxx_api.h>
#undef ORT_API_MANUAL_INIT

#include <exception>

namespace wshare::test {

// Returns body() as a status: no exception may leave a function that ONNX Runtime calls.
template <typename Body>
OrtStatus* guarded(const Body& body) noexcept {
  try {
    body();
    return nullptr;
  } catch (const std::exception& exception) {
    return Ort::Status(exception.what(), ORT_EP_FAIL).release();
  }
}

}  // namespace wshare::test
