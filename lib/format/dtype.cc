#include "format/dtype.h"

#include <array>

namespace wshare {
namespace {

constexpr std::array kDtypes = {
    Dtype{1, "float32", 32, TypedField::kFloat, 32},
    Dtype{2, "uint8", 8, TypedField::kInt32, 8},
    Dtype{3, "int8", 8, TypedField::kInt32, 8},
    Dtype{4, "uint16", 16, TypedField::kInt32, 16},
    Dtype{5, "int16", 16, TypedField::kInt32, 16},
    Dtype{6, "int32", 32, TypedField::kInt32, 32},
    Dtype{7, "int64", 64, TypedField::kInt64, 64},
    Dtype{kStringCode, "string", 0, TypedField::kNone, 0},
    Dtype{9, "bool", 8, TypedField::kInt32, 8},
    Dtype{10, "float16", 16, TypedField::kInt32, 16},
    Dtype{11, "float64", 64, TypedField::kDouble, 64},
    Dtype{12, "uint32", 32, TypedField::kUint64, 32},
    Dtype{13, "uint64", 64, TypedField::kUint64, 64},
    Dtype{14, "complex64", 64, TypedField::kFloat, 32},
    Dtype{15, "complex128", 128, TypedField::kDouble, 64},
    Dtype{16, "bfloat16", 16, TypedField::kInt32, 16},
    Dtype{17, "float8e4m3fn", 8, TypedField::kInt32, 8},
    Dtype{18, "float8e4m3fnuz", 8, TypedField::kInt32, 8},
    Dtype{19, "float8e5m2", 8, TypedField::kInt32, 8},
    Dtype{20, "float8e5m2fnuz", 8, TypedField::kInt32, 8},
    Dtype{21, "uint4", 4, TypedField::kInt32, 8},
    Dtype{22, "int4", 4, TypedField::kInt32, 8},
    Dtype{23, "float4e2m1", 4, TypedField::kInt32, 8},
    Dtype{24, "float8e8m0", 8, TypedField::kInt32, 8},
    Dtype{25, "uint2", 2, TypedField::kInt32, 8},
    Dtype{26, "int2", 2, TypedField::kInt32, 8},
    Dtype{27, "float6e2m3", 6, TypedField::kInt32, 6},
    Dtype{28, "float6e3m2", 6, TypedField::kInt32, 6},
};

}  // namespace

std::optional<Dtype> find_dtype(int32_t code) {
  for (const Dtype& dtype : kDtypes) {
    if (dtype.code == code) return dtype;
  }
  return std::nullopt;
}

std::string dtype_name(int32_t code) {
  const std::optional<Dtype> known = find_dtype(code);
  return known ? std::string(known->name) : "type " + std::to_string(code);
}

std::optional<Dtype> find_dtype(std::string_view name) {
  for (const Dtype& dtype : kDtypes) {
    if (dtype.name == name) return dtype;
  }
  return std::nullopt;
}

std::optional<uint64_t> element_count(std::span<const int64_t> shape) {
  int64_t count = 1;
  bool empty = false;
  for (const int64_t dim : shape) {
    if (dim < 0) return std::nullopt;
    if (dim == 0) {
      empty = true;
    } else if (__builtin_mul_overflow(count, dim, &count)) {
      return std::nullopt;
    }
  }
  return empty ? 0 : static_cast<uint64_t>(count);
}

std::optional<uint64_t> byte_size(const Dtype& dtype, std::span<const int64_t> shape) {
  const std::optional<uint64_t> count = element_count(shape);
  int64_t bits = 0;
  if (!count || __builtin_mul_overflow(static_cast<int64_t>(*count), int64_t{dtype.bits}, &bits)) {
    return std::nullopt;
  }
  return (static_cast<uint64_t>(bits) + 7) / 8;
}

}  // namespace wshare
