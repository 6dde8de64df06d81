#include "format/typed_fields.h"

#include <gtest/gtest.h>

#include <cstring>

#include "format/onnx_wire.h"
#include "support/errors.h"

namespace wshare::test {
namespace {

std::string varint(uint64_t value) {
  std::string bytes;
  append_varint(bytes, value);
  return bytes;
}

// A field of one number: as varint, of 4 or of 8 bytes.
std::string single(uint32_t number, WireType type, uint64_t value) {
  const std::string key = varint(uint64_t{number} << 3 | static_cast<uint64_t>(type));
  if (type == WireType::kVarint) return key + varint(value);
  std::string bytes(type == WireType::kFixed32 ? 4 : 8, '\0');
  std::memcpy(bytes.data(), &value, bytes.size());
  return key + bytes;
}

std::string packed(uint32_t number, const std::string& values) {
  return varint(uint64_t{number} << 3 | 2) + varint(values.size()) + values;
}

// The values of the tensor `message` as a dtype, decoded ones behind a ":".
std::string values_of(const std::string& message, const char* dtype) {
  const std::span<const std::byte> file = std::as_bytes(std::span(message));
  std::vector<std::byte> decoded;
  const TensorValues values =
      read_values(file, read_wire_tensor(file, 0, file.size()).payloads, *find_dtype(dtype),
                  [&](size_t size) -> std::span<std::byte> {
                    decoded.resize(size);
                    return decoded;
                  });
  return (values.decoded ? ":" : "") +
         std::string(reinterpret_cast<const char*>(values.bytes.data()), values.bytes.size());
}

constexpr WireType kFixed32 = WireType::kFixed32, kFixed64 = WireType::kFixed64,
                   kVarint = WireType::kVarint;

TEST(ReadValues, ReadsEveryFormOfATypedField) {
  using namespace tensor_field;
  struct Case {
    const char* name;
    std::string message;
    const char* dtype;
    std::string values;
  };
  for (const Case& c :
       {Case{"nothing", "", "float32", ""}, Case{"raw", packed(kRawData, "abc"), "int8", "abc"},
        Case{"raw before typed", packed(kFloatData, "abcd") + packed(kRawData, "x"), "float32",
             "x"},
        Case{"packed floats", packed(kFloatData, "abcdefgh"), "float32", "abcdefgh"},
        Case{"packed in two parts", packed(kFloatData, "abcd") + packed(kFloatData, "efgh"),
             "float32", ":abcdefgh"},
        Case{"floats one by one",
             single(kFloatData, kFixed32, 0x64636261) + single(kFloatData, kFixed32, 0x68676665),
             "float32", ":abcdefgh"},
        Case{"a double", single(kDoubleData, kFixed64, 0x6867666564636261), "float64", ":abcdefgh"},
        Case{"packed int64", packed(kInt64Data, varint(7) + varint(~uint64_t{0})), "int64",
             ":" + std::string("\7\0\0\0\0\0\0\0", 8) + std::string(8, '\xff')},
        Case{"16 bits each", single(kInt32Data, kVarint, 0x6261) + packed(kInt32Data, "cd"),
             "float16", ":ab" + std::string("c\0d\0", 4)},
        Case{"4 bits each, two an entry", packed(kInt32Data, "\x21\x43"), "uint4", ":\x21\x43"},
        Case{"6 bits each", packed(kInt32Data, "\1\2\3\4"), "float6e2m3",
             ":" + std::string("\x81\x30\x10", 3)},
        Case{"the field of another type", packed(kInt64Data, "\1"), "float32", ""}}) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(values_of(c.message, c.dtype), c.values);
  }
}

// At the end of a mapped file there is nothing behind the field that could be read instead.
TEST(ReadValues, TakesAFieldOfAnotherWireTypeForUnknown) {
  using namespace tensor_field;
  struct Case {
    const char* name;
    std::string message;
    const char* dtype;
  };
  for (const Case& c : {Case{"float as varint", single(kFloatData, kVarint, 7), "float32"},
                        Case{"float of 8 bytes", single(kFloatData, kFixed64, 7), "float32"},
                        Case{"double of 4 bytes", single(kDoubleData, kFixed32, 7), "float64"},
                        Case{"double as varint", single(kDoubleData, kVarint, 7), "float64"},
                        Case{"int64 of 8 bytes", single(kInt64Data, kFixed64, 7), "int64"},
                        Case{"int32 of 4 bytes", single(kInt32Data, kFixed32, 7), "int32"},
                        Case{"raw as varint", single(kRawData, kVarint, 7), "int8"}}) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(values_of(c.message, c.dtype), "");
  }
  EXPECT_EQ(values_of(single(kFloatData, kVarint, 7) + packed(kFloatData, "abcd"), "float32"),
            "abcd");
}

TEST(ReadValues, RefusesWhatIsNoWholeNumberOfElements) {
  using namespace tensor_field;
  EXPECT_EQ(code_of([] {
              values_of(packed(kFloatData, "abcde") + packed(kFloatData, "abcd"), "float32");
            }),
            4);
  EXPECT_EQ(code_of([] { values_of(packed(kInt32Data, "\xff"), "int32"); }), 4);
}

}  // namespace
}  // namespace wshare::test
