#pragma once

#include <cstddef>
#include <functional>
#include <span>

#include "format/dtype.h"
#include "util/wire.h"

namespace wshare {

// The values of a TensorProto as canonical bytes: little-endian, sub-byte types packed with the low
// bits first.
struct TensorValues {
  std::span<const std::byte> bytes;
  bool decoded = false;  // else they lie in the file as they are
};

// Returns what raw_data holds, or else the typed field of `dtype`, among the `payloads` that a
// tensor of `file` has (WireTensor::payloads). A field of another wire type than its own is
// unknown, as in protobuf, and holds nothing.
//
// The bytes lie in `file`, or where they have to be decoded in what `allocate` returns: as many
// zero bytes as it is asked for. Throws Error(kInvalid) if the payloads are malformed.
// Source: onnx.proto3, TensorProto; protobuf.dev, "Encoding".
TensorValues read_values(std::span<const std::byte> file, std::span<const WireField> payloads,
                         const Dtype& dtype,
                         const std::function<std::span<std::byte>(size_t)>& allocate);

}  // namespace wshare
