#include "format/onnx_wire.h"

#include <array>
#include <string>

#include "format/packed_buffers.h"
#include "wshare/error.h"

// ONNX is a protobuf message of a few kinds that nest. The walk below descends only on the roads
// that can lead to a TensorProto and looks at nothing else, so its cost is the number of fields,
// not of bytes.

namespace wshare {
namespace {

enum class Kind {
  kNone,
  kModel,
  kGraph,
  kNode,
  kAttribute,
  kTensor,
  kSparse,
  kFunction,
  kTraining
};

struct Road {
  Kind from;
  uint32_t field;
  Kind to;
};

// Source: onnx.proto3.
constexpr std::array kRoads = {
    Road{Kind::kModel, 7, Kind::kGraph},       Road{Kind::kModel, 20, Kind::kTraining},
    Road{Kind::kModel, 25, Kind::kFunction},   Road{Kind::kGraph, 1, Kind::kNode},
    Road{Kind::kGraph, 5, Kind::kTensor},      Road{Kind::kGraph, 15, Kind::kSparse},
    Road{Kind::kNode, 5, Kind::kAttribute},    Road{Kind::kAttribute, 5, Kind::kTensor},
    Road{Kind::kAttribute, 6, Kind::kGraph},   Road{Kind::kAttribute, 10, Kind::kTensor},
    Road{Kind::kAttribute, 11, Kind::kGraph},  Road{Kind::kAttribute, 22, Kind::kSparse},
    Road{Kind::kAttribute, 23, Kind::kSparse}, Road{Kind::kSparse, 1, Kind::kTensor},
    Road{Kind::kSparse, 2, Kind::kTensor},     Road{Kind::kFunction, 7, Kind::kNode},
    Road{Kind::kTraining, 1, Kind::kGraph},    Road{Kind::kTraining, 2, Kind::kGraph},
};
// Left out: FunctionProto.attribute_proto (11), defaults of attributes. The protobuf classes of
// ONNX 1.12 do not know that field, so what was cut from it could not be put back; uncut it goes
// through as it is.

Kind follow(Kind from, uint32_t field) {
  for (const Road& road : kRoads) {
    if (road.from == from && road.field == field) return road.to;
  }
  return Kind::kNone;
}

bool is_payload(const WireField& field) {
  using namespace tensor_field;
  switch (field.number) {
    case kFloatData:
    case kInt32Data:
    case kInt64Data:
    case kRawData:
    case kDoubleData:
    case kUint64Data:
      return true;
    default:
      return false;
  }
}

// An unpacked repeated field is one wire field per element; neighbours become one run.
void append_payload(std::vector<WireField>& payloads, WireField field) {
  if (field.type != WireType::kBytes) {
    field.payload_size = field.end() - field.begin;
    field.payload = field.begin;
    if (!payloads.empty() && payloads.back().number == field.number &&
        payloads.back().type == field.type && payloads.back().end() == field.begin) {
      payloads.back().payload_size += field.payload_size;
      return;
    }
  }
  payloads.push_back(field);
}

class Walker {
 public:
  explicit Walker(std::span<const std::byte> file) : file_(file) {}

  WireTensors take() { return std::move(found_); }

  void walk(Kind kind, uint64_t begin, uint64_t end, size_t up, int depth) {
    constexpr int kDeepest = 100;
    if (depth > kDeepest) {
      throw Error(ErrorCode::kInvalid,
                  "messages are nested more than 100 deep, which protobuf refuses");
    }
    WireReader reader(file_, begin, end);
    while (const std::optional<WireField> field = reader.next()) {
      if (field->type != WireType::kBytes) continue;
      const Kind to = follow(kind, field->number);
      if (to == Kind::kNone) continue;
      const size_t parent = found_.parents.size();
      found_.parents.push_back({length_at(*field), field->payload, field->end(), up});
      if (to == Kind::kTensor) {
        found_.tensors.push_back(read_wire_tensor(file_, field->payload, field->end()));
        found_.tensors.back().parent = parent;
      } else {
        walk(to, field->payload, field->end(), parent, depth + 1);
      }
    }
  }

 private:
  // The length stands between the key and the value.
  uint64_t length_at(const WireField& field) const {
    std::span<const std::byte> bytes = file_.subspan(static_cast<size_t>(field.begin));
    const size_t before = bytes.size();
    take_varint(bytes);
    return field.begin + (before - bytes.size());
  }

  std::span<const std::byte> file_;
  WireTensors found_;
};

}  // namespace

uint32_t field_number(TypedField field) {
  switch (field) {
    case TypedField::kFloat:
      return tensor_field::kFloatData;
    case TypedField::kDouble:
      return tensor_field::kDoubleData;
    case TypedField::kInt32:
      return tensor_field::kInt32Data;
    case TypedField::kInt64:
      return tensor_field::kInt64Data;
    case TypedField::kUint64:
      return tensor_field::kUint64Data;
    case TypedField::kNone:
      break;
  }
  return 0;  // no field has this number
}

WireTensor read_wire_tensor(std::span<const std::byte> file, uint64_t begin, uint64_t end) {
  WireTensor tensor;
  tensor.begin = begin;
  tensor.end = end;
  WireReader reader(file, begin, end);
  while (const std::optional<WireField> field = reader.next()) {
    if (field->number == tensor_field::kCutMark) {
      throw Error(ErrorCode::kInvalid,
                  "no valid ONNX file: a tensor has field 19555, a number that protobuf reserves");
    }
    if (is_payload(*field)) append_payload(tensor.payloads, *field);
  }
  return tensor;
}

WireTensors find_wire_tensors(std::span<const std::byte> file) {
  Walker walker(file);
  walker.walk(Kind::kModel, 0, file.size(), kNoParent, 1);
  WireTensors found = walker.take();
  constexpr size_t kFew = 10000;  // then there may be as many models; of many a copy takes long
  if (found.parents.size() > kFew) return found;
  found.parents.shrink_to_fit();
  found.tensors.shrink_to_fit();
  return found;
}

WireReference read_wire_reference(std::span<const std::byte> file, const WireTensor& tensor) {
  constexpr size_t kMostDims = 1024;
  WireReference reference;
  WireReader reader(file, tensor.begin, tensor.end);
  while (const std::optional<WireField> field = reader.next()) {
    const bool varint = field->type == WireType::kVarint;
    if (field->number == tensor_field::kName) reference.name = text_of(file, *field);
    if (field->number == tensor_field::kDataType && varint) {
      reference.dtype = static_cast<int32_t>(field->varint);
    }
    if (field->number == tensor_field::kDataLocation && varint)
      reference.external = field->varint == 1;
    if (field->number == tensor_field::kDims && varint) {
      reference.shape.push_back(static_cast<int64_t>(field->varint));
    } else if (field->number == tensor_field::kDims && field->type == WireType::kBytes) {
      std::span<const std::byte> packed = file.subspan(static_cast<size_t>(field->payload),
                                                       static_cast<size_t>(field->payload_size));
      while (!packed.empty() && reference.shape.size() <= kMostDims) {
        reference.shape.push_back(static_cast<int64_t>(take_varint(packed)));
      }
    }
    if (reference.shape.size() > kMostDims) {
      throw Error(ErrorCode::kInvalid, "a tensor has more than 1024 dimensions");
    }
    if (field->number == tensor_field::kExternalData && field->type == WireType::kBytes) {
      std::string_view key;
      std::string_view value;
      WireReader entry(file, field->payload, field->end());
      while (const std::optional<WireField> part = entry.next()) {
        if (part->number == 1) key = text_of(file, *part);
        if (part->number == 2) value = text_of(file, *part);
      }
      if (key == "location") reference.location = value;
      if (key == "offset") reference.offset = value;
      if (key == "length") reference.length = value;
      if (key.starts_with(kPackedKey)) reference.packed.push_back(value);
    }
  }
  return reference;
}

}  // namespace wshare
