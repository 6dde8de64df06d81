#include "run/tensor_file.h"

#include <gtest/gtest.h>

#include "run/graphs.h"
#include "support/bundle_test.h"

namespace wshare::test {
namespace {

using Type = onnx::TensorProto;

// Three elements of one type: their bytes, and how a TensorProto holds them in its typed field.
struct Sample {
  const char* name;
  int type;
  const char* numpy;  // "" where NumPy has no such type
  std::string bytes;
  void (*add_typed)(onnx::TensorProto&);
};

void add_int32(onnx::TensorProto& proto) {
  for (const int value : {1, 0, 2}) proto.add_int32_data(value);
}
void add_negative_int32(onnx::TensorProto& proto) {
  for (const int value : {1, -2, 3}) proto.add_int32_data(value);
}
void add_uint64(onnx::TensorProto& proto) {
  for (const uint64_t value : {1u, 0u, 2u}) proto.add_uint64_data(value);
}
void add_int64(onnx::TensorProto& proto) {
  for (const int64_t value : {1, -2, 3}) proto.add_int64_data(value);
}
void add_float(onnx::TensorProto& proto) {
  for (const float value : {1.5F, -2.0F, 0.25F}) proto.add_float_data(value);
}
void add_double(onnx::TensorProto& proto) {
  for (const double value : {1.5, -2.0, 0.25}) proto.add_double_data(value);
}

std::vector<Sample> samples() {
  const std::string bytes8 = raw_of<uint8_t>({1, 0, 2}), bytes16 = raw_of<uint16_t>({1, 0, 2});
  return {{"float32", Type::FLOAT, "<f4", raw_of<float>({1.5F, -2.0F, 0.25F}), add_float},
          {"float64", Type::DOUBLE, "<f8", raw_of<double>({1.5, -2.0, 0.25}), add_double},
          {"float16", Type::FLOAT16, "<f2", bytes16, add_int32},
          {"bfloat16", Type::BFLOAT16, "", bytes16, add_int32},
          {"float8e4m3fn", 17, "", bytes8, add_int32},
          {"float8e5m2", 19, "", bytes8, add_int32},
          {"int8", Type::INT8, "|i1", raw_of<int8_t>({1, -2, 3}), add_negative_int32},
          {"int16", Type::INT16, "<i2", raw_of<int16_t>({1, -2, 3}), add_negative_int32},
          {"int32", Type::INT32, "<i4", raw_of<int32_t>({1, -2, 3}), add_negative_int32},
          {"int64", Type::INT64, "<i8", raw_of<int64_t>({1, -2, 3}), add_int64},
          {"uint8", Type::UINT8, "|u1", bytes8, add_int32},
          {"uint16", Type::UINT16, "<u2", bytes16, add_int32},
          {"uint32", Type::UINT32, "<u4", raw_of<uint32_t>({1, 0, 2}), add_uint64},
          {"uint64", Type::UINT64, "<u8", raw_of<uint64_t>({1, 0, 2}), add_uint64},
          {"bool", Type::BOOL, "|b1", raw_of<uint8_t>({1, 0, 1}), [](onnx::TensorProto& proto) {
             for (const int value : {1, 0, 1}) proto.add_int32_data(value);
           }}};
}

// An .npy file of `version` with this header, padded as NumPy does.
std::string npy(int version, std::string header, const std::string& bytes) {
  const size_t prefix = version == 1 ? 10 : 12;
  header.append(63 - (prefix + header.size()) % 64, ' ');
  header += '\n';
  std::string file("\x93NUMPY", 6);
  file += static_cast<char>(version);
  file += '\0';
  const uint64_t length = header.size();
  file.append(reinterpret_cast<const char*>(&length), prefix - 8);
  return file + header + bytes;
}

std::string npy_header(const std::string& descr, const std::string& shape,
                       const std::string& order = "False") {
  return "{'descr': '" + descr + "', 'fortran_order': " + order + ", 'shape': " + shape + ", }";
}

class TensorFile : public testing::Test {
 protected:
  fs::path write(const std::string& name, const std::string& bytes) {
    fs::remove(temp_ / name);  // ext4 writes a file that is cut and filled again to disk at once
    write_file(temp_ / name, bytes);
    return temp_ / name;
  }
  Ort::Value read(const std::string& name, const std::string& bytes) {
    return read_tensor_file(write(name, bytes));
  }
  int code(const std::string& name, const std::string& bytes, std::string* message = nullptr,
           std::string* hint = nullptr) {
    const fs::path path = write(name, bytes);
    return code_of([&] { (void)bytes_in(read_tensor_file(path)); }, message, hint);
  }

  TempFolder temp_;
};

void expect_tensor(const Ort::Value& value, const Sample& sample,
                   const std::vector<int64_t>& shape) {
  const auto type = value.GetTensorTypeAndShapeInfo();
  EXPECT_EQ(static_cast<int>(type.GetElementType()), sample.type);
  EXPECT_EQ(type.GetShape(), shape);
  EXPECT_EQ(bytes_in(value), sample.bytes);
}

TEST_F(TensorFile, ReadsEveryTypeOfAProto) {
  for (const Sample& sample : samples()) {
    SCOPED_TRACE(sample.name);
    const onnx::TensorProto with_raw = raw("x", sample.bytes, sample.type, {3, 1});
    expect_tensor(read("x.pb", with_raw.SerializeAsString()), sample, {3, 1});
    onnx::TensorProto typed = with_raw;
    typed.clear_raw_data();
    sample.add_typed(typed);
    expect_tensor(read("x.pb", typed.SerializeAsString()), sample, {3, 1});
  }
}

TEST_F(TensorFile, ReadsEveryTypeOfNumpy) {
  for (const Sample& sample : samples()) {
    if (*sample.numpy == '\0') continue;
    for (const int version : {1, 2, 3}) {
      SCOPED_TRACE(sample.name + std::string(" version ") + std::to_string(version));
      const std::string header = npy_header(sample.numpy, "(3, 1)");
      expect_tensor(read("x.npy", npy(version, header, sample.bytes)), sample, {3, 1});
    }
  }
}

TEST_F(TensorFile, ReadsEveryFormOfShape) {
  struct Case {
    const char* text;
    std::vector<int64_t> shape;
    size_t elements;
  };
  for (const Case& c : {Case{"()", {}, 1}, Case{"(2,)", {2}, 2}, Case{"(2)", {2}, 2},
                        Case{"(1, 2, 3)", {1, 2, 3}, 6}, Case{"(0, 3)", {0, 3}, 0}}) {
    SCOPED_TRACE(c.text);
    const Ort::Value value =
        read("x.npy", npy(1, npy_header("<f4", c.text), std::string(c.elements * 4, '\1')));
    EXPECT_EQ(value.GetTensorTypeAndShapeInfo().GetShape(), c.shape);
    EXPECT_EQ(value.GetTensorTypeAndShapeInfo().GetElementCount(), c.elements);
  }
}

TEST_F(TensorFile, ReadsUnpackedElements) {
  // Field 7, int64_data, as one varint per element: a writer may do so.
  onnx::TensorProto head = raw("x", "", Type::INT64, {2});
  head.clear_raw_data();  // which would count, as for ONNX Runtime
  const Ort::Value value = read("x.pb", head.SerializeAsString() + "\x38\x05\x38\x07");
  EXPECT_EQ(bytes_in(value), raw_of<int64_t>({5, 7}));
}

TEST_F(TensorFile, RefusesWhatItCannotRead) {
  onnx::TensorProto overflow = raw("x", "abcd", Type::FLOAT, {1});
  overflow.clear_dims();
  for (const int64_t dim : {int64_t{1} << 32, int64_t{1} << 32}) overflow.add_dims(dim);
  onnx::TensorProto negative = raw("x", "abcd", Type::FLOAT, {-1});
  onnx::TensorProto many = raw("x", "abcd", Type::FLOAT, std::vector<int64_t>(1025, 1));
  onnx::TensorProto texts = raw("x", "", Type::STRING, {1});
  texts.add_string_data("text");
  onnx::TensorProto nibbles = raw("x", "ab", 22, {4});
  onnx::TensorProto complex = raw("x", std::string(16, 'c'), Type::COMPLEX128, {1});
  onnx::TensorProto complex_typed = raw("x", "", Type::COMPLEX128, {1});
  complex_typed.add_int32_data(1);  // of a type that is wider than one number
  onnx::TensorProto elsewhere = external("x", 4, {{"location", "y.bin"}});
  struct Case {
    const char* name;
    onnx::TensorProto proto;
    int code;
  };
  for (const Case& c :
       {Case{"too few bytes", raw("x", "abc", Type::FLOAT, {1}), 4},
        Case{"too many bytes", raw("x", "abcde", Type::FLOAT, {1}), 4},
        Case{"shape overflows", overflow, 4}, Case{"negative dimension", negative, 4},
        Case{"1025 dimensions", many, 4}, Case{"strings", texts, 5}, Case{"4 bits", nibbles, 5},
        Case{"complex", complex, 5}, Case{"complex, wrong field", complex_typed, 4},
        Case{"external", elsewhere, 5}, Case{"unknown type", raw("x", "a", 99, {1}), 5}}) {
    SCOPED_TRACE(c.name);
    std::string message;
    EXPECT_EQ(code("x.pb", c.proto.SerializeAsString(), &message), c.code) << message;
    EXPECT_NE(message.find("x.pb'"), std::string::npos) << message;
  }
  EXPECT_EQ(code("x.pb", "\xff\xff\xff no message"), 4);
  EXPECT_EQ(code_of([&] { read_tensor_file(temp_ / "none.pb"); }), 3);
}

TEST_F(TensorFile, RefusesDamagedNumpyFiles) {
  const std::string four(4, 'f');
  const auto with_shape = [&](const std::string& shape) {
    return npy(1, npy_header("<f4", shape), four);
  };
  std::string long_header = with_shape("(1,)"), longest = npy(2, npy_header("<f4", "(1,)"), four);
  long_header[8] = long_header[9] = '\xff';
  longest[8] = longest[9] = longest[10] = longest[11] = '\xff';
  std::string version = with_shape("(1,)");
  version[6] = 4;
  struct Case {
    const char* name;
    std::string bytes;
    int code;
  };
  for (const Case& c :
       {Case{"empty", "", 4},
        Case{"text", "this is no array", 4},
        Case{"header of 65535 bytes", long_header, 4},
        Case{"header of 4 GiB", longest, 4},
        Case{"version 4", version, 5},
        Case{"too few bytes", with_shape("(2,)"), 4},
        Case{"shape overflows", with_shape("(4294967296, 4294967296)"), 4},
        Case{"dimension of 2^63", with_shape("(9223372036854775808,)"), 4},
        Case{"negative dimension", with_shape("(-1,)"), 4},
        Case{"no number", with_shape("(one,)"), 4},
        Case{"empty place", with_shape("(1,,1)"), 4},
        Case{"open shape", with_shape("(1"), 4},
        Case{"a list", with_shape("[1]"), 4},
        Case{"no shape", npy(1, "{'descr': '<f4', 'fortran_order': False}", four), 4},
        Case{"ends before the shape",
             npy(1, "{'descr': '<f4', 'fortran_order': False, 'shape':", four), 4},
        Case{"no type", npy(1, "{'fortran_order': False, 'shape': (1,)}", four), 4},
        Case{"Fortran order", npy(1, npy_header("<f4", "(1,)", "True"), four), 5},
        Case{"big-endian", npy(1, npy_header(">f4", "(1,)"), four), 5},
        Case{"objects", npy(1, npy_header("|O", "(1,)"), four), 5},
        Case{"text elements", npy(1, npy_header("<U1", "(1,)"), four), 5}}) {
    SCOPED_TRACE(c.name);
    std::string message;
    EXPECT_EQ(code("x.npy", c.bytes, &message), c.code) << message;
    EXPECT_NE(message.find("x.npy'"), std::string::npos) << message;
  }
  std::string hint;
  code("x.npy", npy(1, npy_header("<f4", "(1,)", "True"), four), nullptr, &hint);
  EXPECT_NE(hint.find("ascontiguousarray"), std::string::npos) << hint;
}

TEST_F(TensorFile, SurvivesEveryTruncationAndBitFlip) {
  onnx::TensorProto typed = raw("x", "", Type::FLOAT16, {3});
  typed.clear_raw_data();
  typed.clear_name();  // so that values come last, and no truncation is a tensor
  add_int32(typed);
  for (const auto& [name, bytes] : std::vector<std::pair<std::string, std::string>>{
           {"raw.pb", raw("x", raw_of<float>({1, 2, 3}), Type::FLOAT, {3}).SerializeAsString()},
           {"typed.pb", typed.SerializeAsString()},
           {"one.npy", npy(1, npy_header("<i8", "(2, 1)"), raw_of<int64_t>({1, 2}))},
           {"two.npy", npy(2, npy_header("<f2", "(3,)"), raw_of<uint16_t>({1, 2, 3}))}}) {
    SCOPED_TRACE(name);
    ASSERT_EQ(code(name, bytes), 0);
    for (size_t size = 0; size < bytes.size(); ++size)
      EXPECT_GE(code(name, bytes.substr(0, size)), 4) << size;
    // Another exception than Error, or a read outside under AddressSanitizer, ends the test.
    size_t refused = 0;
    for (size_t at = 0; at < bytes.size(); ++at) {
      for (int bit = 0; bit < 8; ++bit) {
        std::string flipped = bytes;
        flipped[at] = static_cast<char>(flipped[at] ^ (1 << bit));
        refused += code(name, flipped) != 0 ? 1 : 0;
      }
    }
    EXPECT_GT(refused, 0u);
    EXPECT_LT(refused, bytes.size() * 8);  // those of values are not seen
  }
}

}  // namespace
}  // namespace wshare::test
