#include "compare/quantised_weights.h"

#include <onnx/onnx_pb.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include "compare/low_rank/matrix.h"
#include "format/dtype.h"
#include "wshare/error.h"

namespace wshare {
namespace {

constexpr size_t kNone = SIZE_MAX;
constexpr int64_t kLast = -1;

// Where an operator that reads integers as a weight has it, its scale and its zero point, and along
// which axis of the weight several scales go.
struct IntegerReader {
  size_t weight, scale, zero;
  int64_t axis;
};

// Source: ONNX and ONNX Runtime, docs/ContribOperators.md.
const std::multimap<std::string, IntegerReader>& integer_readers() {
  static const std::multimap<std::string, IntegerReader> ops = {
      {"MatMulInteger", {1, kNone, 3, kLast}},
      {"MatMulInteger", {0, kNone, 2, kLast}},
      {"ConvInteger", {1, kNone, 3, 0}},
      {"QLinearMatMul", {3, 4, 5, kLast}},
      {"QLinearMatMul", {0, 1, 2, kLast}},
      {"QLinearConv", {3, 4, 5, 0}},
      {"com.microsoft:MatMulIntegerToFloat", {1, 3, 5, kLast}},
      {"com.microsoft:DynamicQuantizeMatMul", {1, 2, 3, kLast}},
      {"com.microsoft:QGemm", {3, 4, 5, kLast}},
      {"com.microsoft:QAttention", {1, 4, 7, kLast}},
      {"com.microsoft:QEmbedLayerNormalization", {2, 8, 13, 0}},
      {"com.microsoft:QEmbedLayerNormalization", {3, 9, 14, 0}},
      {"com.microsoft:QEmbedLayerNormalization", {4, 10, 15, 0}},
      {"com.microsoft:MatMulBnb4", {1, kNone, kNone, 0}},
  };
  return ops;
}

bool is_integer(int32_t dtype) {
  const std::optional<Dtype> known = find_dtype(dtype);
  return known && !float_format(dtype) && known->bits <= 16 && dtype != onnx::TensorProto::BOOL &&
         known->name.find("float") == std::string_view::npos;
}

class Finder {
 public:
  Finder(const ComputeGraph& graph, const ScannedModel& model) : graph_(graph), model_(model) {}

  std::vector<QuantisedWeight> run() {
    for (const GraphNode& node : graph_.passed) {
      if (node.op == "DequantizeLinear" || node.op == "com.microsoft:DequantizeLinear")
        add_dequantized(node);
    }
    for (const GraphNode& node : graph_.nodes) {
      const auto [begin, end] = integer_readers().equal_range(node.op);
      for (auto at = begin; at != end; ++at) add_integers(node, at->second);
      if (node.op == "com.microsoft:MatMulNBits") add_packed(node, 2, 3);
      if (node.op == "com.microsoft:GatherBlockQuantized") add_gathered(node);
      if (node.op == "Mul") add_product(node);
    }
    std::vector<QuantisedWeight> result;
    for (const auto& [tensor, weight] : found_) result.push_back(weight);
    return result;
  }

 private:
  const TensorRef& in_model(int32_t t) const { return model_.tensors[static_cast<size_t>(t)]; }

  // The stored tensor that an operand is, as it is stored.
  int32_t tensor_at(const GraphNode& node, size_t slot) const {
    if (slot >= node.inputs.size() || node.inputs[slot] == kAbsent) return kAbsent;
    const GraphValue& value = graph_.values[static_cast<size_t>(node.inputs[slot])];
    return value.transposed ? kAbsent : value.tensor;
  }
  // The same, also of what Gather takes rows of.
  int32_t stored_at(const GraphNode& node, size_t slot) const {
    const int32_t tensor = tensor_at(node, slot);
    if (tensor != kAbsent || slot >= node.inputs.size() || node.inputs[slot] == kAbsent)
      return tensor;
    const int32_t producer = graph_.values[static_cast<size_t>(node.inputs[slot])].producer;
    if (producer == kAbsent) return kAbsent;
    const GraphNode& gather = graph_.nodes[static_cast<size_t>(producer)];
    return gather.op == "Gather" ? tensor_at(gather, 0) : kAbsent;
  }
  bool has_integers(int32_t tensor) const {
    return tensor != kAbsent && is_integer(in_model(tensor).dtype);
  }
  bool has_floats(int32_t tensor) const {
    return tensor != kAbsent && holds_floats(in_model(tensor));
  }

  void add(QuantisedWeight weight) {
    if (weight.scale != kAbsent && !has_floats(weight.scale)) weight.scale = kAbsent;
    const auto [at, is_new] = found_.emplace(weight.tensor, weight);
    if (!is_new && at->second.scale == kAbsent) at->second = weight;
  }

  // Scales along `axis`, unless there is only one.
  void set_axis(QuantisedWeight& weight, int64_t axis) const {
    if (weight.scale == kAbsent || element_count(in_model(weight.scale).shape) == 1) return;
    const auto rank = static_cast<int64_t>(in_model(weight.tensor).shape.size());
    if (axis < 0) axis += rank;
    if (axis < 0 || axis >= rank) {
      weight.scale = kAbsent;
    } else {
      weight.how.axis = static_cast<uint64_t>(axis);
    }
  }

  void add_dequantized(const GraphNode& node) {
    QuantisedWeight weight{stored_at(node, 0), tensor_at(node, 1), tensor_at(node, 2), {}};
    if (!has_integers(weight.tensor)) return;
    if (weight.zero == kAbsent && node.inputs.size() > 2 && node.inputs[2] != kAbsent)
      weight.scale = kAbsent;
    set_axis(weight, integer_attribute(node, "axis", 1));
    const int64_t block = integer_attribute(node, "block_size", 0);
    if (block > 0 && weight.how.axis) weight.how.block = static_cast<uint64_t>(block);
    add(weight);
  }

  void add_integers(const GraphNode& node, const IntegerReader& reader) {
    QuantisedWeight weight{
        stored_at(node, reader.weight), kAbsent, tensor_at(node, reader.zero), {}};
    if (!has_integers(weight.tensor)) return;
    weight.scale = reader.scale == kNone ? scale_behind(node, reader.weight == 0)
                                         : tensor_at(node, reader.scale);
    const bool turned =
        node.op == "com.microsoft:QGemm" && integer_attribute(node, "transB", 0) != 0;
    set_axis(weight, turned ? 0 : reader.axis);
    add(weight);
  }

  // The scale that is multiplied with what an integer product gives: by itself, or after that of
  // the other operand was multiplied with it.
  int32_t scale_behind(const GraphNode& node, bool of_left) const {
    if (node.outputs.empty() || node.outputs[0] == kAbsent) return kAbsent;
    const GraphValue& product = graph_.values[static_cast<size_t>(node.outputs[0])];
    for (const Use& use : product.uses) {
      const GraphNode& mul = graph_.nodes[static_cast<size_t>(use.node)];
      if (mul.op != "Mul" || mul.inputs.size() != 2) continue;
      const size_t slot = use.slot == 0 ? 1 : 0;
      if (const int32_t scale = tensor_at(mul, slot); has_floats(scale)) return scale;
      const int32_t other = mul.inputs[slot];
      if (other == kAbsent) continue;
      const int32_t producer = graph_.values[static_cast<size_t>(other)].producer;
      if (producer == kAbsent) continue;
      const GraphNode& scales = graph_.nodes[static_cast<size_t>(producer)];
      if (scales.op != "Mul" || scales.inputs.size() != 2) continue;
      const int32_t left = tensor_at(scales, 0), right = tensor_at(scales, 1);
      if (has_floats(left) && (of_left || !has_floats(right))) return left;
      if (has_floats(right)) return right;
    }
    return kAbsent;
  }

  // Rows of packed bytes.
  void add_packed(const GraphNode& node, size_t scale, size_t zero) {
    QuantisedWeight weight{tensor_at(node, 1), tensor_at(node, scale), tensor_at(node, zero), {}};
    if (!has_integers(weight.tensor)) return;
    const int64_t bits = integer_attribute(node, "bits", 4);
    const int64_t block = integer_attribute(node, "block_size", 0);
    const int64_t columns = integer_attribute(node, "K", 0);
    if (bits < 1 || bits > 8 || block <= 0 || columns <= 0) weight.scale = kAbsent;
    weight.how.packed_bits = static_cast<int>(bits);
    weight.how.block = static_cast<uint64_t>(block);
    weight.how.columns = static_cast<uint64_t>(columns);
    weight.how.zero = bits > 0 && bits <= 8 ? int64_t{1} << (bits - 1) : 0;
    add(weight);
  }

  void add_gathered(const GraphNode& node) {
    QuantisedWeight weight{tensor_at(node, 0), tensor_at(node, 2), tensor_at(node, 3), {}};
    if (!has_integers(weight.tensor)) return;
    const TensorRef& tensor = in_model(weight.tensor);
    const auto rank = static_cast<int64_t>(tensor.shape.size());
    int64_t axis = integer_attribute(node, "quantize_axis", 1);
    if (axis < 0) axis += rank;
    const int64_t block = integer_attribute(node, "block_size", 128);
    if (block <= 0 || axis < 0 || axis >= rank) return;
    weight.how.block = static_cast<uint64_t>(block);
    if (tensor.dtype == onnx::TensorProto::UINT8) {
      const int64_t bits = integer_attribute(node, "bits", 4);
      if (axis != 1 || rank != 2 || (bits != 2 && bits != 4 && bits != 8)) return;
      weight.how.packed_bits = static_cast<int>(bits);
      weight.how.columns = static_cast<uint64_t>(tensor.shape[1]) * static_cast<uint64_t>(8 / bits);
      weight.how.zero = int64_t{1} << (bits - 1);
    } else {
      weight.how.axis = static_cast<uint64_t>(axis);
    }
    add(weight);
  }

  // Integers that were cast to floats and are scaled, after a zero point is taken off.
  void add_product(const GraphNode& mul) {
    for (size_t slot = 0; slot < 2 && mul.inputs.size() == 2; ++slot) {
      if (mul.inputs[slot] == kAbsent) continue;
      QuantisedWeight weight{tensor_at(mul, slot), tensor_at(mul, 1 - slot), kAbsent, {}, true};
      const int32_t producer = graph_.values[static_cast<size_t>(mul.inputs[slot])].producer;
      if (weight.tensor == kAbsent && producer != kAbsent) {
        const GraphNode& sub = graph_.nodes[static_cast<size_t>(producer)];
        if (sub.op != "Sub" || sub.inputs.size() != 2) continue;
        weight.tensor = tensor_at(sub, 0);
        weight.zero = tensor_at(sub, 1);
        if (weight.zero == kAbsent) continue;
      }
      if (!has_integers(weight.tensor) || !has_floats(weight.scale)) continue;
      set_axis(weight, broadcast_axis(in_model(weight.tensor).shape, in_model(weight.scale).shape));
      add(weight);
    }
  }

  // The only dimension of `shape` along which a tensor of shape `other` is no copy; kLast - the
  // rank where there are several.
  static int64_t broadcast_axis(const std::vector<int64_t>& shape,
                                const std::vector<int64_t>& other) {
    const auto none = -static_cast<int64_t>(shape.size()) - 1;
    int64_t axis = none;
    for (size_t i = 1; i <= other.size(); ++i) {
      if (other[other.size() - i] == 1) continue;
      if (axis != none || i > shape.size()) return none;
      axis = -static_cast<int64_t>(i);
    }
    return axis;
  }

  const ComputeGraph& graph_;
  const ScannedModel& model_;
  std::map<int32_t, QuantisedWeight> found_;
};

}  // namespace

std::vector<QuantisedWeight> quantised_weights(const ComputeGraph& graph,
                                               const ScannedModel& model) {
  return Finder(graph, model).run();
}

std::vector<int64_t> shape_of_base(const ScannedModel& model, const QuantisedWeight& weight) {
  const TensorRef& tensor = model.tensors[static_cast<size_t>(weight.tensor)];
  std::vector<int64_t> shape = tensor.shape;
  if (weight.how.packed_bits != 0 && !shape.empty())
    shape = {shape[0], static_cast<int64_t>(weight.how.columns)};
  std::erase(shape, 1);
  return shape;
}

std::optional<QuantisedPrediction> prediction_of(const ScannedModel& model,
                                                 const QuantisedWeight& weight,
                                                 const TensorRef& base, bool transposed) {
  if (weight.scale == kAbsent || !holds_floats(base)) return std::nullopt;
  const TensorRef& tensor = model.tensors[static_cast<size_t>(weight.tensor)];
  const TensorRef& scale = model.tensors[static_cast<size_t>(weight.scale)];
  try {
    QuantisedPrediction prediction;
    prediction.quantisation = weight.how;
    prediction.layout = layout_of(tensor.dtype, tensor.shape, weight.how);
    const QuantisedLayout& layout = prediction.layout;
    if (tensor.bytes.size() != layout.bytes) return std::nullopt;
    prediction.base = {base.bytes, base.dtype, layout.rows, layout.base_cols, transposed};
    prediction.scale = {scale.bytes, scale.dtype};
    if (weight.zero != kAbsent) {
      const TensorRef& zero = model.tensors[static_cast<size_t>(weight.zero)];
      prediction.zero = NumberView{zero.bytes, zero.dtype};
    }
    check_quantised(prediction);
    return prediction;
  } catch (const Error&) {  // the model may say anything
    return std::nullopt;
  }
}

double FormError::relative() const {
  if (square_error == 0) return 0;
  return square > 0 ? std::sqrt(square_error / square) : INFINITY;
}

FormError error_of(const QuantisedPrediction& prediction, std::span<const std::byte> actual) {
  constexpr size_t kPiece = 4096;
  std::vector<double> base(kPiece), scale(kPiece), zero(kPiece);
  std::vector<int32_t> stored(kPiece);
  QuantisedReader reader(prediction);
  const QuantisedLayout& layout = prediction.layout;
  FormError sums;
  const uint64_t count = layout.rows * layout.cols;
  for (uint64_t first = 0; first < count; first += kPiece) {
    const auto some = static_cast<size_t>(std::min<uint64_t>(kPiece, count - first));
    reader.read_base(first, some, base.data());
    reader.read_scales(first, some, scale.data());
    reader.read_zeros(first, some, zero.data());
    read_integers(actual, layout.bits, layout.is_signed, first, some, stored.data());
    for (size_t i = 0; i < some; ++i) {
      if (layout.base_cols < layout.cols && (first + i) % layout.cols >= layout.base_cols) continue;
      const double error = (stored[i] - zero[i]) * scale[i] - base[i];
      sums.square += base[i] * base[i];
      sums.square_error += error * error;
    }
  }
  return sums;
}

}  // namespace wshare
