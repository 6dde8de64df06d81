#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "format/byte_sink.h"

namespace wshare {

// A tensor of an adapter file: one parameter of an .onnx_adapter, one tensor of a safetensors file.
//
// `bytes` are row-major and little-endian; they belong to the file, or to whoever made them.
struct NamedTensor {
  std::string name;
  int32_t dtype = 0;  // TensorProto.DataType
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;
};

// No ONNX tensor has more dimensions.
inline constexpr size_t kMaxDims = 1024;

// True for float32, float16, bfloat16 and float64.
bool holds_floats(const NamedTensor& tensor);

// Returns the bytes that the type and shape of `tensor` need; its bytes are not looked at.
//
// Throws Error(kInvalid) if the type is unknown or has no fixed size, a dimension is negative or
// the product does not fit into 63 bits.
uint64_t needed_bytes(const NamedTensor& tensor);

// Throws Error(kInvalid) if `size` is not what needed_bytes() says.
void check_size(const NamedTensor& tensor, uint64_t size);

}  // namespace wshare
