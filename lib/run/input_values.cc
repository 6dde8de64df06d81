#include "run/input_values.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <functional>
#include <random>
#include <utility>

#include "format/dtype.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

template <typename T, typename Next>
void fill(Ort::Value& value, size_t count, const Next& next) {
  T* data = static_cast<T*>(value.GetTensorMutableRawData());
  for (size_t i = 0; i < count; ++i) data[i] = static_cast<T>(next());
}

bool fill_floats(Ort::Value& value, ONNXTensorElementDataType type, size_t count,
                 const std::function<double()>& next) {
  switch (type) {
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT:
      fill<float>(value, count, next);
      return true;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE:
      fill<double>(value, count, next);
      return true;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16:
      fill<uint16_t>(value, count, [&] { return Ort::Float16_t(static_cast<float>(next())).val; });
      return true;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16:
      fill<uint16_t>(value, count, [&] { return Ort::BFloat16_t(static_cast<float>(next())).val; });
      return true;
    default:
      return false;
  }
}

bool fill_integers(Ort::Value& value, ONNXTensorElementDataType type, size_t count,
                   const std::function<uint64_t()>& next) {
  switch (type) {
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8:
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8:
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL:
      fill<uint8_t>(value, count, next);
      return true;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16:
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16:
      fill<uint16_t>(value, count, next);
      return true;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32:
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32:
      fill<uint32_t>(value, count, next);
      return true;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64:
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64:
      fill<uint64_t>(value, count, next);
      return true;
    default:
      return false;
  }
}

// True if an integer type, or that of truth values, holds `number`.
bool holds(ONNXTensorElementDataType type, int64_t number) {
  switch (type) {
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8:
      return std::in_range<int8_t>(number);
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8:
      return std::in_range<uint8_t>(number);
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16:
      return std::in_range<int16_t>(number);
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16:
      return std::in_range<uint16_t>(number);
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32:
      return std::in_range<int32_t>(number);
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32:
      return std::in_range<uint32_t>(number);
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64:
      return number >= 0;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL:
      return number == 0 || number == 1;
    default:
      return true;
  }
}

// The number of values 0, 1, ... that the type can hold.
uint64_t values_of(ONNXTensorElementDataType type) {
  switch (type) {
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8:
      return uint64_t{1} << 7;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8:
      return uint64_t{1} << 8;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16:
      return uint64_t{1} << 15;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16:
      return uint64_t{1} << 16;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32:
      return uint64_t{1} << 31;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32:
      return uint64_t{1} << 32;
    default:
      return uint64_t{1} << 63;
  }
}

Ort::Value new_value(const WantedInput& input, const std::vector<int64_t>& shape, size_t& count) {
  Ort::AllocatorWithDefaultOptions allocator;
  Ort::Value value = Ort::Value::CreateTensor(allocator, shape.data(), shape.size(), input.type);
  count = value.GetTensorTypeAndShapeInfo().GetElementCount();
  return value;
}

}  // namespace

std::string type_name(ONNXTensorElementDataType type) {
  const auto dtype = find_dtype(static_cast<int32_t>(type));
  return dtype ? std::string(dtype->name) : std::to_string(static_cast<int>(type));
}

Ort::Value value_of_number(const WantedInput& input, const std::vector<int64_t>& shape,
                           const std::string& text) {
  size_t count = 0;
  Ort::Value value = new_value(input, shape, count);
  const double number = std::strtod(text.c_str(), nullptr);  // parse_values() has read it, too
  if (fill_floats(value, input.type, count, [&] { return number; })) return value;
  int64_t whole = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), whole);
  const bool is_whole = error == std::errc() && end == text.data() + text.size();
  if (is_whole && holds(input.type, whole) &&
      fill_integers(value, input.type, count, [&] { return static_cast<uint64_t>(whole); })) {
    return value;
  }
  throw Error(ErrorCode::kInvalid, "input " + in_quotes(input.name) + ": " + in_quotes(text) +
                                       " is no value of its type, " + type_name(input.type));
}

Ort::Value made_up_value(const WantedInput& input, const std::vector<int64_t>& shape,
                         int64_t row_limit, uint64_t seed) {
  size_t count = 0;
  Ort::Value value = new_value(input, shape, count);
  std::mt19937_64 random(seed);
  // 2^-52 steps: a distribution of the standard library may differ between its versions. One alone
  // is a speed, a scale or a threshold: 0 or less may be none.
  const auto next_float = [&]() -> double {
    if (count == 1) return 1;
    return static_cast<float>(static_cast<double>(random() >> 11) * 0x1p-52 - 1.0);
  };
  const bool is_one = (input.name.find("mask") != std::string::npos && row_limit == 0) ||
                      input.type == ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL;
  const uint64_t rows = row_limit > 0 ? static_cast<uint64_t>(row_limit) : 2;
  const uint64_t values = std::min(rows, values_of(input.type));
  const auto next = [&]() -> uint64_t { return is_one ? 1 : random() % values; };
  if (!fill_floats(value, input.type, count, next_float) &&
      !fill_integers(value, input.type, count, next)) {
    throw Error(ErrorCode::kUnsupported,
                "input " + in_quotes(input.name) + ": no values can be made up for its type",
                "give them with --inputs");
  }
  return value;
}

}  // namespace wshare
