#pragma once

#include <cstdint>
#include <optional>

#include "format/matrix.h"
#include "model/scan.h"

namespace wshare {

// True if `tensor` holds float32, float16, bfloat16 or float64, the types that deltas are computed
// of, and as many bytes as its shape needs.
bool holds_floats(const TensorRef& tensor);

// Returns `tensor` as a matrix, its first dimension against all others, or nothing if it has fewer
// than two dimensions, no elements, or no float type.
std::optional<MatrixView> matrix_of(const TensorRef& tensor);

// Returns element `index` of a float tensor. The index must be in range.
double element_at(const TensorRef& tensor, uint64_t index);

// Returns how many bits of a significand the values of `view` use: 10 where float32 holds float16
// values. Zero and non-finite values use none.
int used_significand_bits(const MatrixView& view);

// How large roundings are in a float type.
class RoundingNoise {
 public:
  // Of the exponents of `dtype` with `bits` stored bits of significand.
  RoundingNoise(int bits, int32_t dtype);

  // Returns the mean square of what rounding to a value near `value` adds: spacing^2 / 12.
  double square_at(double value) const;

 private:
  int64_t bits_, smallest_exponent_;
};

// True if the matrices `a` and `b`, of equal dtype, are each other's transpose, element for
// element.
bool equal_transposed(const TensorRef& a, const TensorRef& b);

// How the values of two tensors of different float types compare.
enum class CastResult {
  kDiffer,
  kEqual,    // the wider one, rounded, gives the narrower one
  kClamped,  // the same, but for values outside the narrower type's range: converters clamp them
};

// Compares `a` and `b`, float tensors of different dtype with one number of elements.
// Source for clamping: onnxconverter-common, float16.py, which keeps |x| within [1e-7, 1e4].
CastResult compare_cast(const TensorRef& a, const TensorRef& b);

}  // namespace wshare
