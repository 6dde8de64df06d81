#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace wshare {

// The field of TensorProto that holds elements of a dtype when raw_data does not.
enum class TypedField { kNone, kFloat, kDouble, kInt32, kInt64, kUint64 };

// One element type of ONNX.
struct Dtype {
  int32_t code;           // TensorProto.DataType
  std::string_view name;  // as in the manifest: "float32", "bfloat16", "int4"
  int bits;               // of one element in raw_data; 0 for strings
  TypedField typed_field;
  int bits_per_entry;  // raw bits that one entry of the typed field fills; entries are packed, low
                       // bits first, into bytes
};

inline constexpr int32_t kStringCode = 8;

// Returns the element type with this code, or nothing when the code is unknown to this version.
// Source: onnx.proto3 of ONNX 1.23, TensorProto.
std::optional<Dtype> find_dtype(int32_t code);

// Returns the name of the element type with this code; "type 99" where it is unknown.
std::string dtype_name(int32_t code);

// Returns the element type with this name, or nothing.
std::optional<Dtype> find_dtype(std::string_view name);

// Returns the number of elements of `shape` (1 for a scalar), or nothing if a dimension is negative
// or the product does not fit into 63 bits.
std::optional<uint64_t> element_count(std::span<const int64_t> shape);

// Returns the bytes that raw_data of this type and shape has (sub-byte types are rounded up to a
// whole byte), or nothing under the conditions of element_count().
std::optional<uint64_t> byte_size(const Dtype& dtype, std::span<const int64_t> shape);

}  // namespace wshare
