#pragma once

#include <onnxruntime_cxx_api.h>

#include <cstdint>
#include <optional>

namespace wshare {

// What a driver gives out at once; free memory moves in such steps.
inline constexpr uint64_t kDriverBlock = uint64_t{2} << 20;

// Returns the bytes of `device` that nobody has, as its driver tells; nothing where wshare knows no
// driver to ask. Makes the driver's context in this process, if there is none.
// Source: NVIDIA, CUDA Driver API, cuMemGetInfo.
std::optional<uint64_t> free_memory(Ort::ConstEpDevice device);

}  // namespace wshare
