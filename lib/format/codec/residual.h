#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "format/byte_sink.h"
#include "format/codec/prediction.h"

namespace wshare {

// How far a prediction is from the tensor that it stands for. Sums over all elements, in double;
// NaN where a NaN or an infinity on one side makes them so. sqrt(square_error / square_delta) is
// the relative Frobenius error of the factors.
struct ResidualReport {
  uint64_t coded_bytes = 0;         // 0 if every bit is as predicted
  uint64_t differing_elements = 0;  // whose bits are not those of the rounded prediction
  double square_delta = 0;          // of actual - multiplier * base
  double square_error = 0;          // of actual - the prediction before it is rounded
  double max_abs_error = 0;         // of the same difference
};

// Writes to `write` what turns the rounded prediction into `actual`, the bytes of a tensor of the
// prediction's type and shape. The same input gives the same bytes. Memory: about 6 MiB, and
// what Stretches says of wide rows.
//
// Throws Error(kInvalid) as check_prediction(), or if `actual` has another size.
ResidualReport encode_residual(const Prediction& prediction, std::span<const std::byte> actual,
                               const ByteSink& write);

// Writes the bytes of the tensor to `write`, from the first to the last, given what
// encode_residual() wrote for it. Memory: about 5 MiB, and what Stretches says of wide rows.
//
// Throws Error(kInvalid) as check_prediction(), or if `residual` cannot belong to it. Damage that
// is not seen gives other bytes, so compare the hash of the tensor.
void decode_residual(const Prediction& prediction, std::span<const std::byte> residual,
                     const ByteSink& write);

}  // namespace wshare
