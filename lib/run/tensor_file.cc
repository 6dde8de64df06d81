#include "run/tensor_file.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "format/dtype.h"
#include "format/foreign_file.h"
#include "format/onnx_wire.h"
#include "format/typed_fields.h"
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
  try {
    Ort::AllocatorWithDefaultOptions allocator;
    Ort::Value value = Ort::Value::CreateTensor(allocator, shape.data(), shape.size(),
                                                static_cast<ONNXTensorElementDataType>(dtype.code));
    if (!bytes.empty()) std::memcpy(value.GetTensorMutableRawData(), bytes.data(), bytes.size());
    return value;
  } catch (const Ort::Exception&) {  // complex numbers, types newer than this ONNX Runtime
    throw Error(ErrorCode::kUnsupported,
                "ONNX Runtime makes no tensor of " + std::string(dtype.name) + " of this shape");
  }
}

Ort::Value read_proto(Bytes file) {
  const WireTensor tensor = read_wire_tensor(file, 0, file.size());
  const WireReference reference = read_wire_reference(file, tensor);
  const auto dtype = find_dtype(reference.dtype);
  if (!dtype || dtype->bits < 8 || reference.external) {
    throw Error(ErrorCode::kUnsupported,
                "strings, sub-byte types and external data cannot be inputs");
  }
  std::vector<std::byte> decoded;
  const TensorValues values =
      read_values(file, tensor.payloads, *dtype, [&](size_t size) -> std::span<std::byte> {
        decoded.resize(size);
        return decoded;
      });
  return make_tensor(*dtype, reference.shape, values.bytes);
}

// Returns the text after `key` in the header of an .npy file, a Python dict literal.
std::string header_value(const std::string& header, const std::string& key) {
  const size_t at = header.find("'" + key + "':");
  const size_t value =
      at == std::string::npos ? at : header.find_first_not_of(' ', at + key.size() + 3);
  if (value == std::string::npos)
    throw Error(ErrorCode::kInvalid, "the header has no " + in_quotes(key));
  return header.substr(value);
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

// Returns the shape at the front of `text`, a Python tuple: "()", "(3,)", "(2, 3)".
std::vector<int64_t> numpy_shape(const std::string& text) {
  const auto refuse = [] {
    return Error(ErrorCode::kInvalid, "the header has no shape such as (2, 3)");
  };
  const size_t close = text.find(')');
  if (!text.starts_with("(") || close == std::string::npos) throw refuse();
  std::vector<int64_t> shape;
  for (size_t at = 1; at < close;) {
    const size_t end = std::min(text.find(',', at), close);
    const size_t first = std::min(text.find_first_not_of(' ', at), end);
    const bool is_last = first == end && end == close;  // after a comma, or in "()"
    if (is_last) break;
    shape.push_back(parse_decimal(std::string_view(text).substr(first, end - first)));
    if (shape.back() < 0) throw refuse();
    at = end + 1;
  }
  return shape;
}

Ort::Value read_numpy(Bytes file) {
  constexpr size_t kPrefix = 8;
  const auto byte_at = [&](size_t i) { return std::to_integer<size_t>(file[i]); };
  if (file.size() < kPrefix + 4 || std::memcmp(file.data(), "\x93NUMPY", 6) != 0) {
    throw Error(ErrorCode::kInvalid, "is no .npy file");
  }
  if (byte_at(6) < 1 || byte_at(6) > 3) {
    throw Error(ErrorCode::kUnsupported,
                "is of .npy version " + std::to_string(byte_at(6)) + ", this wshare reads 1 to 3");
  }
  const bool short_length = byte_at(6) == 1;
  const size_t begin = kPrefix + (short_length ? 2 : 4);
  size_t length = byte_at(8) | byte_at(9) << 8;
  if (!short_length) length |= byte_at(10) << 16 | byte_at(11) << 24;
  if (length > file.size() - begin) throw Error(ErrorCode::kInvalid, "ends inside its header");
  const std::string header(reinterpret_cast<const char*>(file.data()) + begin, length);
  if (!header_value(header, "fortran_order").starts_with("False")) {
    throw Error(ErrorCode::kUnsupported, "is not in C order",
                "numpy.save of numpy.ascontiguousarray(x) writes it so");
  }
  return make_tensor(numpy_dtype(header_value(header, "descr")),
                     numpy_shape(header_value(header, "shape")), file.subspan(begin + length));
}

}  // namespace

Ort::Value read_tensor_file(const std::filesystem::path& path) {
  const MappedFile file = MappedFile::open(path);
  try {
    return path.extension() == ".npy" ? read_numpy(file.bytes()) : read_proto(file.bytes());
  } catch (const Error& error) {
    throw explain_refusal(error, path, file.bytes(), ExpectedFile::kInput);
  }
}

}  // namespace wshare
