#include "format/derived_tensor.h"

#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "format/codec/quantised.h"
#include "format/codec/residual.h"
#include "format/dtype.h"
#include "format/matrix.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

using Bytes = std::span<const std::byte>;

struct MatrixShape {
  uint64_t rows, cols;
};

// A tensor as a matrix: the first dimension against all others. Where the first is 0, the product
// of the others may be anything.
MatrixShape matrix_shape(std::span<const int64_t> shape) {
  if (shape.empty()) return {1, 1};
  const std::optional<uint64_t> cols = element_count(shape.subspan(1));
  if (!cols) throw Error(ErrorCode::kInvalid, "its shape is too large");
  return {static_cast<uint64_t>(shape[0]), *cols};
}

void check_float_type(int32_t dtype) {
  if (!float_format(dtype))
    throw Error(ErrorCode::kInvalid, in_quotes(dtype_name(dtype)) + " is no float type");
}

void check_matrix(const char* what, const std::optional<MatrixRecord>& matrix, uint64_t rows,
                  uint64_t cols) {
  if (!matrix) return;
  check_float_type(matrix->dtype);
  const int64_t shape[] = {static_cast<int64_t>(rows), static_cast<int64_t>(cols)};
  const std::optional<uint64_t> needed = byte_size(*find_dtype(matrix->dtype), shape);
  if (needed == matrix->extent.size) return;
  throw Error(ErrorCode::kInvalid, std::string(what) + " has " +
                                       std::to_string(matrix->extent.size) + " bytes, [" +
                                       std::to_string(rows) + "," + std::to_string(cols) + "] of " +
                                       dtype_name(matrix->dtype) + " needs " +
                                       (needed ? std::to_string(*needed) : "too many"));
}

std::optional<MatrixView> view_of(const std::optional<MatrixRecord>& matrix, uint64_t rows,
                                  uint64_t cols, const BytesOf& bytes_of) {
  if (!matrix) return std::nullopt;
  return MatrixView{bytes_of(matrix->extent), matrix->dtype, rows, cols, matrix->transposed};
}

void check_numbers(const char* what, const MatrixRecord& numbers, std::optional<uint64_t> needed) {
  if (needed == numbers.extent.size) return;
  throw Error(ErrorCode::kInvalid, std::string(what) + " has " +
                                       std::to_string(numbers.extent.size) + " bytes of " +
                                       dtype_name(numbers.dtype) + ", not what its shape needs");
}

void check_chain(const DerivationRecord& derivation) {
  if (derivation.then.empty()) return;
  if (derivation.codec != kLaneCodec || derivation.rank != 0 || !derivation.exact)
    throw Error(ErrorCode::kInvalid, "a chain has residuals of codec 2, and no rank or error");
  if (derivation.then.size() > kMostSteps) {
    throw Error(ErrorCode::kInvalid, "its chain has " + std::to_string(derivation.then.size()) +
                                         " steps, at most " + std::to_string(kMostSteps) +
                                         " are allowed");
  }
  for (const StepRecord& step : derivation.then) {
    if (!std::isfinite(step.multiplier))
      throw Error(ErrorCode::kInvalid, "a multiplier of its chain is not finite");
  }
}

void check_quantised_record(const OriginalTensor& tensor) {
  const DerivationRecord& derivation = *tensor.derivation;
  const QuantisedRecord& quantised = *derivation.quantised;
  if (derivation.multiplier != 1 || derivation.rank != 0 || !derivation.exact ||
      !derivation.then.empty())
    throw Error(ErrorCode::kInvalid,
                "it is quantised, so it has no multiplier, rank, chain or error");
  const QuantisedLayout layout = layout_of(tensor.dtype, tensor.shape, quantised.how);
  check_matrix("its base", derivation.base, layout.rows, layout.base_cols);
  check_float_type(quantised.scale.dtype);
  const int64_t scales[] = {static_cast<int64_t>(layout.scales)};
  check_numbers("its scale", quantised.scale,
                byte_size(*find_dtype(quantised.scale.dtype), scales));
  if (!quantised.zero) return;
  check_numbers("its zero point", *quantised.zero, bytes_of_zeros(layout, quantised.zero->dtype));
}

NumberView numbers_of(const MatrixRecord& numbers, const BytesOf& bytes_of) {
  return {bytes_of(numbers.extent), numbers.dtype};
}

QuantisedPrediction quantised_prediction(const OriginalTensor& tensor, const BytesOf& bytes_of) {
  const DerivationRecord& derivation = *tensor.derivation;
  const QuantisedRecord& quantised = *derivation.quantised;
  const QuantisedLayout layout = layout_of(tensor.dtype, tensor.shape, quantised.how);
  QuantisedPrediction prediction{quantised.how,
                                 layout,
                                 *view_of(derivation.base, layout.rows, layout.base_cols, bytes_of),
                                 numbers_of(quantised.scale, bytes_of),
                                 {}};
  if (quantised.zero) prediction.zero = numbers_of(*quantised.zero, bytes_of);
  return prediction;
}

template <typename Call>
void name_tensor(const OriginalTensor& tensor, const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    throw Error(error.code(), "tensor " + in_quotes(tensor.name) + ": " + error.what(),
                error.hint());
  }
}

}  // namespace

void check_derivation(const OriginalTensor& tensor) {
  name_tensor(tensor, [&] {
    const DerivationRecord& derivation = *tensor.derivation;
    if (derivation.quantised) return check_quantised_record(tensor);
    const auto [rows, cols] = matrix_shape(tensor.shape);
    check_float_type(tensor.dtype);
    if (!std::isfinite(derivation.multiplier))
      throw Error(ErrorCode::kInvalid, "its multiplier is not finite");
    check_chain(derivation);
    check_matrix("its base", derivation.base, rows, cols);
    check_matrix("its left factor", derivation.left, rows, derivation.rank);
    check_matrix("its right factor", derivation.right, derivation.rank, cols);
  });
}

Prediction prediction_of(const OriginalTensor& tensor, const BytesOf& bytes_of) {
  const DerivationRecord& derivation = *tensor.derivation;
  const auto [rows, cols] = matrix_shape(tensor.shape);
  return {tensor.dtype,
          rows,
          cols,
          view_of(derivation.base, rows, cols, bytes_of),
          derivation.multiplier,
          view_of(derivation.left, rows, derivation.rank, bytes_of),
          view_of(derivation.right, derivation.rank, cols, bytes_of)};
}

void encode_tensor(const OriginalTensor& tensor, Bytes actual, const BytesOf& bytes_of,
                   const ByteSink& write, unsigned threads) {
  check_derivation(tensor);
  name_tensor(tensor, [&] {
    if (tensor.derivation->quantised) {
      encode_quantised(quantised_prediction(tensor, bytes_of), actual, write);
    } else {
      encode_residual(prediction_of(tensor, bytes_of), actual, write, {.threads = threads});
    }
  });
}

void derive_tensor(const OriginalTensor& tensor, const BytesOf& bytes_of, const ByteSink& write,
                   unsigned threads) {
  check_derivation(tensor);
  name_tensor(tensor, [&] {
    const DerivationRecord& derivation = *tensor.derivation;
    const Bytes residual = derivation.residual.size > 0 ? bytes_of(derivation.residual) : Bytes();
    if (derivation.quantised)
      return decode_quantised(quantised_prediction(tensor, bytes_of), residual, write);
    std::vector<ChainStep> then;
    for (const StepRecord& step : derivation.then)
      then.push_back({step.multiplier, step.residual.size > 0 ? bytes_of(step.residual) : Bytes()});
    decode_residual(prediction_of(tensor, bytes_of), derivation.codec, residual, write, threads,
                    then);
  });
}

}  // namespace wshare
