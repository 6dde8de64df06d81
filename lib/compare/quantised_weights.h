#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "compare/graph.h"
#include "format/codec/quantised.h"

namespace wshare {

// A weight that its graph reads as quantised, and what the graph says of how: layout and zero
// points, nothing of the rounding.
struct QuantisedWeight {
  int32_t tensor = kAbsent;
  int32_t scale = kAbsent, zero = kAbsent;  // tensors; no scale: it is not known
  Quantisation how;
  bool cast = false;  // to floats, which ONNX Runtime does when it loads the model
};

// Returns the weights of `model` that are read as quantised, each once, as the first of its readers
// reads it: DequantizeLinear, QLinearMatMul, MatMulInteger, MatMulNBits and the like, or a product
// with a scale. By tensor, rising.
std::vector<QuantisedWeight> quantised_weights(const ComputeGraph& graph,
                                               const ScannedModel& model);

// Returns the shape of the floats that `weight` was made of, as far as it tells: without dimensions
// of 1. Packed rows may stand for the transpose.
std::vector<int64_t> shape_of_base(const ScannedModel& model, const QuantisedWeight& weight);

// Returns what predicts `weight` from `base`, as its quantisation says, or nothing if the parts do
// not fit together or no scale is known. `base` may be the transpose.
std::optional<QuantisedPrediction> prediction_of(const ScannedModel& model,
                                                 const QuantisedWeight& weight,
                                                 const TensorRef& base, bool transposed);

// How far numbers that were made of a base are from it: sums of squares.
struct FormError {
  double square = 0;  // of the base
  double square_error = 0;
  // ||numbers - base|| / ||base||, Frobenius
  double relative() const;
};
FormError error_of(const QuantisedPrediction& prediction, std::span<const std::byte> actual);

}  // namespace wshare
