#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace wshare {

// What the keys of external_data begin with under which ONNX Runtime names what kernels packed:
// "prepacked_0", "prepacked_1", one for each way that a weight is packed.
// Source: onnxruntime/core/framework/tensor_external_data_info.cc.
inline constexpr std::string_view kPackedKey = "prepacked";

// Asks `moved` where the buffers of `value` lie from now on, each given by its offset and size in
// bytes in the file of its tensor, and returns the value with these offsets.
//
// A value is "KEY|OFFSET;SIZE;CHECKSUM|...": a key of kernel and contents, then the buffers. Throws
// Error(kInvalid) if it is none.
std::string move_packed_buffers(
    std::string_view value, const std::function<uint64_t(uint64_t offset, uint64_t size)>& moved);

}  // namespace wshare
