#include "run/parity.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

namespace wshare {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Comparison {
  bool bit_equal = true;
  double max_abs_diff = 0;
  double largest = 0;  // finite size in theirs
};

constexpr Comparison kDifferent{false, kInfinity, 0};

double difference(double a, double b) {
  if (a == b || (std::isnan(a) && std::isnan(b))) return 0;
  return std::isnan(a) || std::isnan(b) ? kInfinity : std::fabs(a - b);
}

template <typename T>
double largest_difference(const void* ours, const void* theirs, size_t count) {
  const T* a = static_cast<const T*>(ours);
  const T* b = static_cast<const T*>(theirs);
  double largest = 0;
  for (size_t i = 0; i < count; ++i) {
    if constexpr (requires { a[i].ToFloat(); }) {
      largest = std::max(largest, difference(a[i].ToFloat(), b[i].ToFloat()));
    } else if constexpr (std::is_integral_v<T>) {
      // As integers, since doubles would call 2^53 and 2^53 + 1 equal.
      const auto high = static_cast<uint64_t>(std::max(a[i], b[i]));
      const auto low = static_cast<uint64_t>(std::min(a[i], b[i]));
      largest = std::max(largest, static_cast<double>(high - low));
    } else {
      largest = std::max(largest, difference(a[i], b[i]));
    }
  }
  return largest;
}

double largest_difference(ONNXTensorElementDataType type, const void* a, const void* b,
                          size_t count) {
  switch (type) {
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT:
      return largest_difference<float>(a, b, count);
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE:
      return largest_difference<double>(a, b, count);
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16:
      return largest_difference<Ort::Float16_t>(a, b, count);
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16:
      return largest_difference<Ort::BFloat16_t>(a, b, count);
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8:
      return largest_difference<int8_t>(a, b, count);
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL:
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8:
      return largest_difference<uint8_t>(a, b, count);
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16:
      return largest_difference<int16_t>(a, b, count);
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16:
      return largest_difference<uint16_t>(a, b, count);
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32:
      return largest_difference<int32_t>(a, b, count);
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32:
      return largest_difference<uint32_t>(a, b, count);
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64:
      return largest_difference<int64_t>(a, b, count);
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64:
      return largest_difference<uint64_t>(a, b, count);
    default:
      return kInfinity;
  }
}

// Returns the largest finite size of floating-point elements; 1 of others.
double largest_size(ONNXTensorElementDataType type, const void* values, size_t count) {
  double largest = 0;
  const auto take = [&](double value) {
    if (std::isfinite(value)) largest = std::max(largest, std::fabs(value));
  };
  for (size_t i = 0; i < count; ++i) {
    switch (type) {
      case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT:
        take(static_cast<const float*>(values)[i]);
        break;
      case ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE:
        take(static_cast<const double*>(values)[i]);
        break;
      case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16:
        take(static_cast<const Ort::Float16_t*>(values)[i].ToFloat());
        break;
      case ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16:
        take(static_cast<const Ort::BFloat16_t*>(values)[i].ToFloat());
        break;
      default:
        return 1;
    }
  }
  return largest;
}

Comparison compare_strings(const Ort::Value& ours, const Ort::Value& theirs, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    if (ours.GetStringTensorElement(i) != theirs.GetStringTensorElement(i)) return kDifferent;
  }
  return {};
}

Comparison compare_tensors(const Ort::Value& ours, const Ort::Value& theirs) {
  const auto shape = ours.GetTensorTypeAndShapeInfo();
  const auto other = theirs.GetTensorTypeAndShapeInfo();
  const ONNXTensorElementDataType type = shape.GetElementType();
  if (type != other.GetElementType() || shape.GetShape() != other.GetShape()) return kDifferent;
  const size_t count = shape.GetElementCount();
  if (type == ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING) return compare_strings(ours, theirs, count);
  const size_t bytes = ours.GetTensorSizeInBytes();
  const void* a = ours.GetTensorRawData();
  const void* b = theirs.GetTensorRawData();
  if (bytes == 0 || std::memcmp(a, b, bytes) == 0) return {};
  return {false, largest_difference(type, a, b, count), largest_size(type, b, count)};
}

Comparison compare_values(const Ort::Value& ours, const Ort::Value& theirs) {
  if (ours.HasValue() != theirs.HasValue()) return kDifferent;
  if (!ours.HasValue()) return {};
  if (ours.IsTensor() && theirs.IsTensor()) return compare_tensors(ours, theirs);
  if (ours.IsTensor() || theirs.IsTensor() || ours.GetCount() != theirs.GetCount())
    return kDifferent;
  Ort::AllocatorWithDefaultOptions allocator;
  Comparison all;
  for (size_t i = 0; i < ours.GetCount(); ++i) {  // of a sequence, or keys and values of a map
    const auto index = static_cast<int>(i);
    const Comparison one =
        compare_values(ours.GetValue(index, allocator), theirs.GetValue(index, allocator));
    all.bit_equal = all.bit_equal && one.bit_equal;
    all.max_abs_diff = std::max(all.max_abs_diff, one.max_abs_diff);
    all.largest = std::max(all.largest, one.largest);
  }
  return all;
}

}  // namespace

std::vector<ParityRow> compare_outputs(const std::string& model,
                                       const std::vector<std::string>& names,
                                       const std::vector<Ort::Value>& ours,
                                       const std::vector<Ort::Value>& theirs) {
  std::vector<ParityRow> rows;
  for (size_t i = 0; i < names.size(); ++i) {
    const bool both = i < ours.size() && i < theirs.size();
    const Comparison comparison = both ? compare_values(ours[i], theirs[i]) : kDifferent;
    const double relative =
        comparison.max_abs_diff == 0 ? 0 : comparison.max_abs_diff / comparison.largest;
    rows.push_back({model, names[i], comparison.bit_equal, comparison.max_abs_diff, relative});
  }
  return rows;
}

}  // namespace wshare
