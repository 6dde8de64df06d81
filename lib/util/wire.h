#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace wshare {

enum class WireType { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

// One field of a protobuf message, as it lies in a file.
struct WireField {
  uint32_t number = 0;
  WireType type = WireType::kVarint;
  uint64_t begin = 0;         // offset of the key in the file
  uint64_t varint = 0;        // value of a varint field
  uint64_t payload = 0;       // offset of the value in the file, after a length where there is one
  uint64_t payload_size = 0;  // bytes of the value
  uint64_t end() const { return payload + payload_size; }
};

// Reads the fields of one message in the order of the file, checking every length.
//
// Source: protobuf.dev, "Encoding". Groups, which ONNX does not use, are refused.
class WireReader {
 public:
  // Reads the message at [begin, end) of `file`, which must outlive the reader.
  WireReader(std::span<const std::byte> file, uint64_t begin, uint64_t end)
      : file_(file), next_(begin), end_(end) {}

  // Returns the next field, or nothing at the end of the message.
  //
  // Throws Error(kInvalid) if the bytes are no protobuf message.
  std::optional<WireField> next();

 private:
  uint64_t read_varint(const char* what);

  std::span<const std::byte> file_;
  uint64_t next_;
  uint64_t end_;
};

// Returns the value of the varint at the front of `bytes` and removes it from `bytes`.
//
// Throws Error(kInvalid) if there is none within 10 bytes.
uint64_t take_varint(std::span<const std::byte>& bytes);

// Appends `value` as a varint.
void append_varint(std::string& out, uint64_t value);

// Returns the bytes of `field` as text; it points into `file`.
std::string_view text_of(std::span<const std::byte> file, const WireField& field);

}  // namespace wshare
