#include "compare/quantized.h"

#include <onnx/onnx_pb.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "compare/low_rank/matrix.h"
#include "format/dtype.h"

namespace wshare {
namespace {

// Operators that read integers as weights and scale what comes out.
const std::set<std::string>& integer_readers() {
  static const std::set<std::string> ops = {"MatMulInteger",
                                            "ConvInteger",
                                            "QLinearMatMul",
                                            "QLinearConv",
                                            "com.microsoft:MatMulNBits",
                                            "com.microsoft:MatMulBnb4",
                                            "com.microsoft:MatMulIntegerToFloat",
                                            "com.microsoft:DynamicQuantizeMatMul",
                                            "com.microsoft:QGemm",
                                            "com.microsoft:GatherBlockQuantized"};
  return ops;
}

// How the numbers of a tensor come from what is stored: (stored - zero) x scale.
class Numbers {
 public:
  static std::optional<Numbers> of_floats(const TensorRef& tensor) {
    return holds_floats(tensor) ? std::optional(Numbers(tensor)) : std::nullopt;
  }

  // Nothing for blocks, for types of less than a byte, and where scale or zero are no constants.
  static std::optional<Numbers> of_integers(const QuantizedSide& side, int32_t tensor,
                                            const GraphNode& reader) {
    Numbers numbers(side.model.tensors[static_cast<size_t>(tensor)]);
    if (!numbers.is_byte() || integer_attribute(reader, "block_size", 0) != 0) return std::nullopt;
    const TensorRef* scale = constant_of(side, reader, 1);
    const TensorRef* zero = constant_of(side, reader, 2);
    const bool has_zero = reader.inputs.size() > 2 && reader.inputs[2] != kAbsent;
    if (scale == nullptr || !holds_floats(*scale) || (has_zero && zero == nullptr)) return {};
    if (!numbers.read_scale(*scale, zero, integer_attribute(reader, "axis", 1))) return {};
    return numbers;
  }

  double at(uint64_t index) const {
    if (scale_.empty()) return element_at(*tensor_, index);
    const size_t channel = scale_.size() == 1 ? 0 : index / inner_ % scale_.size();
    return (stored(*tensor_, index) - zero_[channel]) * scale_[channel];
  }

 private:
  explicit Numbers(const TensorRef& tensor) : tensor_(&tensor) {}

  bool is_byte() const {
    return (tensor_->dtype == onnx::TensorProto::INT8 ||
            tensor_->dtype == onnx::TensorProto::UINT8) &&
           element_count(tensor_->shape) == tensor_->bytes.size();
  }

  static double stored(const TensorRef& tensor, uint64_t index) {
    const auto byte = static_cast<uint8_t>(tensor.bytes[index]);
    const bool has_sign = tensor.dtype == onnx::TensorProto::INT8;
    return has_sign ? static_cast<double>(static_cast<int8_t>(byte)) : static_cast<double>(byte);
  }

  static const TensorRef* constant_of(const QuantizedSide& side, const GraphNode& reader,
                                      size_t slot) {
    if (slot >= reader.inputs.size() || reader.inputs[slot] == kAbsent) return nullptr;
    const int32_t tensor = side.graph.values[static_cast<size_t>(reader.inputs[slot])].tensor;
    return tensor == kAbsent ? nullptr : &side.model.tensors[static_cast<size_t>(tensor)];
  }

  // One scale for all, or one for each index along `axis`.
  bool read_scale(const TensorRef& scale, const TensorRef* zero, int64_t axis) {
    const uint64_t count = *element_count(scale.shape);
    const auto rank = static_cast<int64_t>(tensor_->shape.size());
    if (axis < 0) axis += rank;
    if (count != 1) {
      if (axis < 0 || axis >= rank || scale.shape.size() != 1) return false;
      if (static_cast<uint64_t>(tensor_->shape[static_cast<size_t>(axis)]) != count) return false;
      for (int64_t dim = axis + 1; dim < rank; ++dim) {
        inner_ *= static_cast<uint64_t>(tensor_->shape[static_cast<size_t>(dim)]);
      }
    }
    if (zero != nullptr && (zero->dtype != tensor_->dtype || zero->bytes.size() != count)) {
      return false;
    }
    for (uint64_t i = 0; i < count; ++i) {
      scale_.push_back(element_at(scale, i));
      zero_.push_back(zero == nullptr ? 0 : stored(*zero, i));
    }
    return count != 0;
  }

  const TensorRef* tensor_;
  std::vector<double> scale_, zero_;  // by channel; empty for floats
  uint64_t inner_ = 1;                // elements from one channel to the next
};

// What a graph makes of a tensor.
struct Reading {
  bool quantized = false;
  std::optional<Numbers> numbers;
};

Reading reading_of(const QuantizedSide& side, int32_t tensor) {
  Reading reading;
  reading.numbers = Numbers::of_floats(side.model.tensors[static_cast<size_t>(tensor)]);
  if (reading.numbers) return reading;
  if (const GraphNode* node = side.dequantizers[static_cast<size_t>(tensor)])
    return {true, Numbers::of_integers(side, tensor, *node)};
  const ComputeGraph& graph = side.graph;
  for (const int32_t view : graph.views[static_cast<size_t>(tensor)]) {
    for (const Use& use : graph.values[static_cast<size_t>(view)].uses) {
      const GraphNode& node = graph.nodes[static_cast<size_t>(use.node)];
      // The weight follows x; or x, its scale and its zero.
      const bool is_weight = use.slot == 1 || use.slot == 3;
      if (is_weight && integer_readers().count(node.op) != 0) reading.quantized = true;
    }
  }
  return reading;
}

}  // namespace

QuantizedSide::QuantizedSide(const ComputeGraph& its_graph, const ScannedModel& its_model)
    : graph(its_graph), model(its_model), dequantizers(its_model.tensors.size()) {
  for (const GraphNode& node : graph.passed) {
    const bool dequantizes = node.op.ends_with("DequantizeLinear") && !node.inputs.empty();
    if (!dequantizes || node.inputs[0] == kAbsent) continue;
    const int32_t tensor = graph.values[static_cast<size_t>(node.inputs[0])].tensor;
    if (tensor == kAbsent) continue;
    const GraphNode*& first = dequantizers[static_cast<size_t>(tensor)];
    if (first == nullptr) first = &node;
  }
}

std::optional<QuantizedChange> compare_quantized(const QuantizedSide& a, int32_t of_a,
                                                 const QuantizedSide& b, int32_t of_b) {
  const Reading in_a = reading_of(a, of_a);
  const Reading in_b = reading_of(b, of_b);
  if (!in_a.quantized && !in_b.quantized) return std::nullopt;
  QuantizedChange change;
  if (!in_a.numbers || !in_b.numbers) return change;
  const TensorRef& tensor = a.model.tensors[static_cast<size_t>(of_a)];
  const uint64_t count = element_count(tensor.shape).value_or(0);
  double largest = 0;
  for (uint64_t i = 0; i < count; ++i) {
    largest = std::max(largest, std::abs(in_b.numbers->at(i) - in_a.numbers->at(i)));
  }
  change.max_abs = largest;
  return change;
}

}  // namespace wshare
