#pragma once

#include <cstddef>
#include <span>

#include "format/byte_sink.h"
#include "format/codec/prediction.h"

namespace wshare {

// Writes the bytes of the tensor to `write`, from the first to the last, given a residual of the
// first format, which nothing writes any more. Memory: about 5 MiB, and what Stretches says of wide
// rows.
//
// Throws as decode_residual().
// Source: docs/bundle-format.md, "Codec 1".
void decode_first_residual(const Prediction& prediction, std::span<const std::byte> residual,
                           const ByteSink& write);

}  // namespace wshare
