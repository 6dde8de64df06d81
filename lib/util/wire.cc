#include "util/wire.h"

#include "wshare/error.h"

namespace wshare {
namespace {

[[noreturn]] void fail(uint64_t at, const std::string& what) {
  throw Error(ErrorCode::kInvalid,
              "no valid ONNX file: " + what + " at byte " + std::to_string(at));
}

}  // namespace

uint64_t take_varint(std::span<const std::byte>& bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < bytes.size() && i < 10; ++i) {
    const auto byte = std::to_integer<uint64_t>(bytes[i]);
    value |= (byte & 0x7f) << (7 * i);
    if (byte < 0x80) {
      bytes = bytes.subspan(i + 1);
      return value;
    }
  }
  throw Error(ErrorCode::kInvalid, "no valid ONNX file: a number does not end");
}

void append_varint(std::string& out, uint64_t value) {
  while (value >= 0x80) {
    out += static_cast<char>(value | 0x80);
    value >>= 7;
  }
  out += static_cast<char>(value);
}

std::string_view text_of(std::span<const std::byte> file, const WireField& field) {
  return {reinterpret_cast<const char*>(file.data()) + field.payload,
          static_cast<size_t>(field.payload_size)};
}

uint64_t WireReader::read_varint(const char* what) {
  std::span<const std::byte> rest =
      file_.subspan(static_cast<size_t>(next_), static_cast<size_t>(end_ - next_));
  const size_t before = rest.size();
  try {
    const uint64_t value = take_varint(rest);
    next_ += before - rest.size();
    return value;
  } catch (const Error&) {
    fail(next_, std::string(what) + " does not end");
  }
}

std::optional<WireField> WireReader::next() {
  if (next_ == end_) return std::nullopt;
  WireField field;
  field.begin = next_;
  const uint64_t key = read_varint("a field key");
  if (key >> 32 != 0 || key >> 3 == 0) fail(field.begin, "a field number is out of range");
  field.number = static_cast<uint32_t>(key >> 3);
  field.type = static_cast<WireType>(key & 7);
  field.payload = next_;
  switch (field.type) {
    case WireType::kVarint:
      field.varint = read_varint("a number");
      field.payload_size = next_ - field.payload;
      break;
    case WireType::kFixed64:
      field.payload_size = 8;
      break;
    case WireType::kFixed32:
      field.payload_size = 4;
      break;
    case WireType::kBytes:
      field.payload_size = read_varint("a length");
      field.payload = next_;
      break;
    default:
      fail(field.begin, "wire type " + std::to_string(key & 7) + " is not used by ONNX");
  }
  if (field.payload_size > end_ - field.payload) {
    fail(field.begin, "field " + std::to_string(field.number) + " has " +
                          std::to_string(field.payload_size) + " bytes, only " +
                          std::to_string(end_ - field.payload) + " are left");
  }
  next_ = field.end();
  return field;
}

}  // namespace wshare
