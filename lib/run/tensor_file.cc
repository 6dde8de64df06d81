#include "run/tensor_file.h"

#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "format/dtype.h"
#include "format/onnx_wire.h"
#include "util/mapped_file.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

using Bytes = std::span<const std::byte>;

Ort::Value make_tensor(const Dtype& dtype, const std::vector<int64_t>& shape, Bytes bytes) {
  const auto expected = byte_size(dtype, shape);
  if (!expected || *expected != bytes.size()) {
    throw Error(ErrorCode::kInvalid, "has " + std::to_string(bytes.size()) +
                                         " bytes of values, its shape needs " +
                                         (expected ? std::to_string(*expected) : "too many"));
  }
  Ort::AllocatorWithDefaultOptions allocator;
  Ort::Value value = Ort::Value::CreateTensor(allocator, shape.data(), shape.size(),
                                              static_cast<ONNXTensorElementDataType>(dtype.code));
  if (!bytes.empty()) std::memcpy(value.GetTensorMutableRawData(), bytes.data(), bytes.size());
  return value;
}

// Appends the elements of a typed field, each cut to the width of its type.
void append_typed(Bytes file, const WireField& field, size_t element_bytes,
                  std::vector<std::byte>& out) {
  const auto append = [&](uint64_t value) {
    const auto* bytes = reinterpret_cast<const std::byte*>(&value);
    out.insert(out.end(), bytes, bytes + element_bytes);
  };
  if (field.type == WireType::kVarint) return append(field.varint);
  const Bytes payload = file.subspan(field.payload, field.payload_size);
  const bool fixed =
      field.number == tensor_field::kFloatData || field.number == tensor_field::kDoubleData;
  if (fixed) {
    out.insert(out.end(), payload.begin(), payload.end());
    return;
  }
  for (Bytes rest = payload; !rest.empty();) append(take_varint(rest));
}

bool is_payload(uint32_t number) {
  using namespace tensor_field;
  return number == kFloatData || number == kInt32Data || number == kInt64Data ||
         number == kRawData || number == kDoubleData || number == kUint64Data;
}

Ort::Value read_proto(Bytes file) {
  WireTensor place;
  place.end = file.size();
  const WireReference reference = read_wire_reference(file, place);
  const auto dtype = find_dtype(reference.dtype);
  if (!dtype || dtype->bits < 8 || reference.external) {
    throw Error(ErrorCode::kUnsupported,
                "strings, sub-byte types and external data cannot be inputs");
  }
  std::vector<std::byte> bytes;
  WireReader reader(file, 0, file.size());
  while (const auto field = reader.next()) {
    if (!is_payload(field->number)) continue;
    if (field->number == tensor_field::kRawData) {
      const Bytes raw = file.subspan(field->payload, field->payload_size);
      bytes.assign(raw.begin(), raw.end());
    } else {
      append_typed(file, *field, static_cast<size_t>(dtype->bits) / 8, bytes);
    }
  }
  return make_tensor(*dtype, reference.shape, bytes);
}

// Returns the text after `key` in the header of an .npy file, a Python dict literal.
std::string header_value(const std::string& header, const std::string& key) {
  const size_t at = header.find("'" + key + "':");
  if (at == std::string::npos)
    throw Error(ErrorCode::kInvalid, "the header has no " + in_quotes(key));
  return header.substr(header.find_first_not_of(' ', at + key.size() + 3));
}

Dtype numpy_dtype(const std::string& value) {
  static constexpr std::array<std::array<std::string_view, 2>, 12> kNames = {{{"f4", "float32"},
                                                                              {"f8", "float64"},
                                                                              {"f2", "float16"},
                                                                              {"i1", "int8"},
                                                                              {"i2", "int16"},
                                                                              {"i4", "int32"},
                                                                              {"i8", "int64"},
                                                                              {"u1", "uint8"},
                                                                              {"u2", "uint16"},
                                                                              {"u4", "uint32"},
                                                                              {"u8", "uint64"},
                                                                              {"b1", "bool"}}};
  for (const auto& [numpy, ours] : kNames) {
    if (value.size() > 4 && (value[1] == '<' || value[1] == '|') &&
        value.compare(2, 3, std::string(numpy) + "'") == 0) {
      return *find_dtype(ours);
    }
  }
  throw Error(ErrorCode::kUnsupported,
              "the element type " + in_quotes(value.substr(0, 6)) + " cannot be an input");
}

Ort::Value read_numpy(Bytes file) {
  constexpr size_t kPrefix = 8;
  const auto byte_at = [&](size_t i) {
    return i < file.size() ? std::to_integer<size_t>(file[i]) : 0;
  };
  if (file.size() < kPrefix + 4 || std::memcmp(file.data(), "\x93NUMPY", 6) != 0) {
    throw Error(ErrorCode::kInvalid, "is no .npy file");
  }
  const bool short_length = byte_at(6) == 1;
  const size_t begin = kPrefix + (short_length ? 2 : 4);
  size_t length = byte_at(8) | byte_at(9) << 8;
  if (!short_length) length |= byte_at(10) << 16 | byte_at(11) << 24;
  if (length > file.size() - begin) throw Error(ErrorCode::kInvalid, "ends inside its header");
  const std::string header(reinterpret_cast<const char*>(file.data()) + begin, length);
  if (header_value(header, "fortran_order").starts_with("True")) {
    throw Error(ErrorCode::kUnsupported, "Fortran order is not supported");
  }
  std::vector<int64_t> shape;
  const std::string dims = header_value(header, "shape");
  for (size_t at = 1, end;
       at < dims.size() && (end = dims.find_first_of(",)", at)) != std::string::npos;
       at = end + 1) {
    const std::string_view digits = std::string_view(dims).substr(at, end - at);
    const size_t first = digits.find_first_not_of(' ');
    if (first != std::string_view::npos) shape.push_back(parse_decimal(digits.substr(first)));
    if (dims[end] == ')') break;
  }
  return make_tensor(numpy_dtype(header_value(header, "descr")), shape,
                     file.subspan(begin + length));
}

}  // namespace

Ort::Value read_tensor_file(const std::filesystem::path& path) {
  const MappedFile file = MappedFile::open(path);
  try {
    return path.extension() == ".npy" ? read_numpy(file.bytes()) : read_proto(file.bytes());
  } catch (const Error& error) {
    throw Error(error.code(), in_quotes(path.string()) + ": " + error.what());
  }
}

}  // namespace wshare
