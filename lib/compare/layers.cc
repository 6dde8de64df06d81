#include "compare/layers.h"

#include <utility>

#include "compare/low_rank/matrix.h"
#include "format/dtype.h"

namespace wshare {

const GraphNode* LayerWalk::producer_of(int32_t value) const {
  if (value == kAbsent || value_at(value).producer == kAbsent) return nullptr;
  return &node_at(value_at(value).producer);
}

std::optional<Layer> LayerWalk::layer_of(int32_t value, bool bias) const {
  const GraphNode* node = producer_of(value);
  if (node == nullptr || node->inputs.size() < 2 || !is_tensor(node->inputs[1])) return {};
  if (node->op != "MatMul" && node->op != "Gemm" && node->op != "Conv") return {};
  const bool has_bias = node->inputs.size() > 2 && node->inputs[2] != kAbsent;
  if (node->inputs[0] == kAbsent || is_tensor(node->inputs[0]) || (has_bias && !bias)) return {};
  const std::optional<MatrixView> matrix = matrix_of(tensor_of(node->inputs[1]));
  if (!matrix) return {};
  Layer layer{value_at(value).producer, node->inputs[1], node->inputs[0], matrix->rows,
              matrix->cols};
  if (value_at(layer.weight).transposed != reads_out_in(*node)) std::swap(layer.in, layer.out);
  return layer;
}

std::optional<LayerWalk::Scaled> LayerWalk::scaled(int32_t value) const {
  const GraphNode* node = producer_of(value);
  if (node == nullptr || node->op != "Mul" || node->inputs.size() != 2) return {};
  const size_t number = is_tensor(node->inputs[0]) ? 0 : 1;
  if (!is_tensor(node->inputs[number]) || is_tensor(node->inputs[1 - number])) return {};
  const TensorRef& tensor = tensor_of(node->inputs[number]);
  if (!holds_floats(tensor) || element_count(tensor.shape) != 1u) return {};
  return Scaled{element_at(tensor, 0), node->inputs[1 - number]};
}

int32_t LayerWalk::skip_reshapes(int32_t value) const {
  for (int steps = 0; steps < kMostSteps; ++steps) {
    const GraphNode* node = producer_of(value);
    if (node == nullptr || node->op != "Reshape" || node->inputs.empty()) return value;
    value = node->inputs[0];
  }
  return value;
}

int32_t LayerWalk::step_back(int32_t value) const {
  const GraphNode* node = producer_of(value);
  if (node == nullptr || node->inputs.empty()) return kAbsent;
  if (node->op == "Reshape") return node->inputs[0];
  if (node->op != "Add" || node->inputs.size() != 2) return kAbsent;
  if (is_tensor(node->inputs[1])) return node->inputs[0];
  return is_tensor(node->inputs[0]) ? node->inputs[1] : kAbsent;
}

bool reads_out_in(const GraphNode& node) {
  return node.op == "Conv" || (node.op == "Gemm" && node.transposes_b);
}

}  // namespace wshare
