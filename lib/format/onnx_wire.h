#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "format/dtype.h"
#include "util/wire.h"

namespace wshare {

// A TensorProto of a model file, as offsets in the file.
struct WireTensor {
  uint64_t begin = 0;  // the message, without key and length
  uint64_t end = 0;
  size_t parent = 0;  // the entry of WireTensors::parents for the tensor itself
  // raw_data and the numeric typed fields, in file order. Unpacked elements that stand side by side
  // are one entry, whose payload is the run of whole fields, keys included.
  std::vector<WireField> payloads;
};

inline constexpr size_t kNoParent = ~size_t{0};

// A message on the road to a tensor: the place of its length, which changes when a payload is cut
// out.
struct WireParent {
  uint64_t length_at = 0;  // offset of the length varint
  uint64_t begin = 0;      // of the message
  uint64_t end = 0;
  size_t up = kNoParent;  // the enclosing message's entry; none for the fields of the model itself
};

// All TensorProto of one model file, wherever they stand: initializers and attributes of the graph,
// of subgraphs at any depth, of functions, of training graphs, and the parts of sparse tensors.
struct WireTensors {
  std::vector<WireTensor> tensors;  // in file order
  std::vector<WireParent>
      parents;  // in file order, so that a message stands after what encloses it
};

// Field numbers of TensorProto. Source: onnx.proto3.
namespace tensor_field {
inline constexpr uint32_t kDims = 1, kDataType = 2, kSegment = 3, kFloatData = 4, kInt32Data = 5,
                          kStringData = 6, kInt64Data = 7, kName = 8, kRawData = 9,
                          kDoubleData = 10, kUint64Data = 11, kExternalData = 13,
                          kDataLocation = 14;
// A number that protobuf reserves for itself, so that no schema can use it: model/ marks cut
// tensors.
inline constexpr uint32_t kCutMark = 19555;
}  // namespace tensor_field

// Returns the number of TensorProto's field of this kind, 0 (which no field has) for kNone.
uint32_t field_number(TypedField field);

// Finds the tensors of the model in `file`.
//
// Throws Error(kInvalid) if the bytes are no protobuf message, messages are nested more than 100
// deep (protobuf's own limit) or a tensor uses kCutMark.
WireTensors find_wire_tensors(std::span<const std::byte> file);

// Returns the payloads of the TensorProto at [begin, end) of `file`.
//
// Throws Error(kInvalid) if it is no protobuf message or uses kCutMark.
WireTensor read_wire_tensor(std::span<const std::byte> file, uint64_t begin, uint64_t end);

// The external reference and type of one TensorProto, read without protobuf.
struct WireReference {
  std::string_view name;
  int32_t dtype = 0;
  std::vector<int64_t> shape;
  bool external = false;
  std::string_view location;
  std::string_view offset;
  std::string_view length;
  std::vector<std::string_view> packed;  // values of prepacked_0 ...: format/packed_buffers.h
};

// Returns what `tensor` of `file` says of itself; the views point into `file`.
//
// Throws Error(kInvalid) if it has more than 1024 dimensions or malformed fields.
WireReference read_wire_reference(std::span<const std::byte> file, const WireTensor& tensor);

}  // namespace wshare
