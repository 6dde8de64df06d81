#include "format/safetensors.h"

#include <gtest/gtest.h>

#include "format/named_tensors.h"
#include "support/errors.h"
#include "support/files.h"
#include "support/places.h"

namespace wshare::test {
namespace {

// A file with this header and `data_bytes` bytes of tensors.
std::string file_of(const std::string& header, size_t data_bytes) {
  std::string file;
  for (size_t i = 0; i < 8; ++i) file += static_cast<char>(header.size() >> (8 * i));
  return file + header + noise(data_bytes, 1);
}

// What `file` holds; its bytes are copied to the heap, so that a sanitizer sees reads beyond them.
std::string read(const std::string& file) {
  const std::vector<char> copy(file.begin(), file.end());
  std::string text;
  const SafetensorsFile got = read_safetensors(std::as_bytes(std::span(copy)));
  for (const auto& [key, value] : got.metadata) text += key + "=" + value + " ";
  return text + text_of(got.tensors);
}

std::string written(const std::vector<NamedTensor>& tensors,
                    const std::map<std::string, std::string>& metadata) {
  const SafetensorsLayout layout = lay_out_safetensors(tensors, metadata);
  std::string file;
  write_safetensors(layout, tensors, append_to(file));
  EXPECT_EQ(file.size(), layout.size);
  return file;
}

const std::string kFour = "abcd", kTwo = "ef", kEight = "ghijklmn", kEmpty;

TEST(Safetensors, WritesWideTypesFirstThenByNameAndPadsTheHeader) {
  const std::string file = written({tensor("b", 1, {1}, kFour), tensor("h", 10, {1, 1}, kTwo),
                                    tensor("a", 1, {}, kFour), tensor("i", 7, {1}, kEight)},
                                   {{"format", "pt"}});
  const std::string header = R"({"__metadata__":{"format":"pt"},)"
                             R"("i":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},)"
                             R"("a":{"dtype":"F32","shape":[],"data_offsets":[8,12]},)"
                             R"("b":{"dtype":"F32","shape":[1],"data_offsets":[12,16]},)"
                             R"("h":{"dtype":"F16","shape":[1,1],"data_offsets":[16,18]}})";
  EXPECT_EQ(file.substr(8, header.size()), header);
  EXPECT_EQ(static_cast<unsigned char>(file[0]) + 256 * static_cast<unsigned char>(file[1]),
            static_cast<int>((header.size() + 7) / 8 * 8));
  EXPECT_TRUE(file.ends_with(kEight + kFour + kFour + kTwo));
  EXPECT_EQ(read(file), "format=pt i 7 [1,] ghijklmna 1 [] abcdb 1 [1,] abcdh 10 [1,1,] ef");
}

TEST(Safetensors, WritesTheBytesOfTheReferenceImplementation) {
  const std::string original =
      read_file(fs::path(kTestdata) / "adapters/summarize/adapter_model.safetensors");
  const SafetensorsFile got = read_safetensors(std::as_bytes(std::span(original)));
  EXPECT_EQ(written(got.tensors, got.metadata), original);
  EXPECT_EQ(written({}, {}), std::string("\x08\0\0\0\0\0\0\0{}      ", 16));
}

TEST(Safetensors, RoundTripsNamesThatNeedEscapes) {
  const std::string name = "a\"b\\c\n\x01 \xc3\xa9";
  EXPECT_EQ(read(written({tensor(name, 2, {4}, kFour)}, {})), name + " 2 [4,] abcd");
}

TEST(Safetensors, ReadsWhatTheFormatAllows) {
  struct Case {
    const char* name;
    std::string header;
    size_t data_bytes;
  };
  for (const Case& c :
       {Case{"nothing", "{}", 0}, Case{"padding", "{}      ", 0},
        Case{"metadata only", R"({"__metadata__":{"a":"b"}})", 0},
        Case{"other order of keys", R"({"x":{"shape":[2],"data_offsets":[0,2],"dtype":"U8"}})", 2},
        Case{"tensors in any order",
             R"({"y":{"dtype":"U8","shape":[1],"data_offsets":[2,3]},)"
             R"("x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})",
             3},
        Case{"empty tensors anywhere",
             R"({"e":{"dtype":"F32","shape":[0,4],"data_offsets":[2,2]},)"
             R"("x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
             R"("f":{"dtype":"F64","shape":[0],"data_offsets":[0,0]}})",
             2},
        Case{"two 4-bit elements", R"({"x":{"dtype":"F4","shape":[2],"data_offsets":[0,1]}})",
             1}}) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(message_of([&] { read(file_of(c.header, c.data_bytes)); }), "no Error");
  }
}

TEST(Safetensors, RefusesWhatBreaksTheFormat) {
  const std::string x = R"("x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]})";
  struct Case {
    const char* name;
    std::string header;
    const char* message;
  };
  for (const Case& c : {
           Case{"no object", "[1]", "its header is no JSON object"},
           Case{"a space first", " {" + x + "}", "its header is no JSON object"},
           Case{"no JSON", "{" + x, "the header: is no JSON"},
           Case{"text after it", "{" + x + "}{", "the header: is no JSON"},
           Case{"no UTF-8", "{\"\xff\":1}", "the header: is no JSON"},
           Case{"a name twice", "{" + x + "," + x + "}", "'x': stands twice"},
           Case{"a field twice", R"({"x":{"dtype":"U8","dtype":"U8"}})", "'dtype': stands twice"},
           Case{"metadata twice", R"({"__metadata__":{"a":"b","a":"b"}})", "'a': stands twice"},
           Case{"metadata that is no text", R"({"__metadata__":{"a":1}})", "'a': is no text"},
           Case{"metadata that nests", R"({"__metadata__":{"a":{}}})", "'a': is no text"},
           Case{"an unknown field", R"({"x":{"stride":1}})", "'stride' is no field"},
           Case{"a field missing", R"({"x":{"dtype":"U8","shape":[2]}})",
                "'x': 'data_offsets': is missing"},
           Case{"a tensor that is a number", R"({"x":1})", "'x': is no object"},
           Case{"a list as dtype", R"({"x":{"dtype":["U8"]}})", "'dtype': is no text"},
           Case{"an unknown type", R"({"x":{"dtype":"U9","shape":[2],"data_offsets":[0,2]}})",
                "unknown element type 'U9'"},
           Case{"one offset", R"({"x":{"data_offsets":[0]}})", "are not two numbers"},
           Case{"three offsets", R"({"x":{"data_offsets":[0,1,2]}})", "are not two numbers"},
           Case{"a nested shape", R"({"x":{"shape":[[2]]}})", "'shape': is no number"},
           Case{"a negative dimension", R"({"x":{"shape":[-2]}})", "'shape': is no number"},
           Case{"a fraction", R"({"x":{"shape":[2.0]}})", "'shape': is no number"},
           Case{"a number too large", R"({"x":{"shape":[9223372036854775808]}})",
                "is no number of 0 to 9223372036854775807"},
           Case{"a product too large",
                R"({"x":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,2]}})",
                "negative or too large"},
           Case{"a hole in front", R"({"x":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
                "lies at bytes 1 to 2 of 2, the tensors before it end at 0"},
           Case{"a hole at the end", R"({"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
                "has 2 bytes of tensors, its header names 1"},
           Case{"an overlap",
                R"({"x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                R"("y":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
                "the tensors before it end at 2"},
           Case{"an end before the begin",
                R"({"x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},)"
                R"("y":{"dtype":"U8","shape":[2],"data_offsets":[2,0]}})",
                "lies at bytes 2 to 0"},
           Case{"an end outside", R"({"x":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}})",
                "lies at bytes 0 to 3 of 2"},
           Case{"too few bytes", R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,2]}})",
                "has 2 bytes, shape [1] needs 4"},
           Case{"half a byte", R"({"x":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}})",
                "end inside a byte"},
       }) {
    SCOPED_TRACE(c.name);
    EXPECT_NE(message_of([&] { read(file_of(c.header, 2)); }).find(c.message), std::string::npos)
        << message_of([&] { read(file_of(c.header, 2)); });
  }
}

TEST(Safetensors, RefusesAHeaderThatNestsDeeply) {
  const std::string deep = R"({"x":{"shape":)" + std::string(1000000, '[');
  EXPECT_NE(message_of([&] { read(file_of(deep, 0)); }), "no Error");
}

TEST(Safetensors, RefusesHeaderSizesThatTheFileCannotHave) {
  for (const uint64_t size :
       {uint64_t{3}, uint64_t{100'000'001}, uint64_t{1} << 63, ~uint64_t{0}, ~uint64_t{0} - 7}) {
    SCOPED_TRACE(size);
    std::string file = "12345678{}";
    for (size_t i = 0; i < 8; ++i) file[i] = static_cast<char>(size >> (8 * i));
    EXPECT_NE(message_of([&] { read(file); }).find("claims a header of"), std::string::npos);
  }
}

TEST(Safetensors, IsRefusedWhenCutAnywhere) {
  const std::string file = written({tensor("x", 1, {1}, kFour), tensor("y", 10, {1}, kTwo)}, {});
  for (size_t size = 0; size < file.size(); ++size) {
    SCOPED_TRACE(size);
    EXPECT_NE(message_of([&] { read(file.substr(0, size)); }), "no Error");
  }
}

TEST(Safetensors, IsRefusedOrReadAfterAnyFlipOfOneBit) {
  const std::string file =
      written({tensor("x", 1, {1}, kFour), tensor("y", 10, {1}, kTwo)}, {{"format", "pt"}});
  size_t refused = 0;
  for (size_t bit = 0; bit < file.size() * 8; ++bit) {
    std::string flipped = file;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    if (message_of([&] { read(flipped); }) != "no Error") ++refused;
  }
  EXPECT_GT(refused, file.size());
}

TEST(Safetensors, RefusesToWriteWhatCannotBeRead) {
  struct Case {
    const char* name;
    std::vector<NamedTensor> tensors;
    const char* message;
  };
  for (const Case& c :
       {Case{"a name twice",
             {tensor("x", 1, {1}, kFour), tensor("x", 10, {1}, kTwo)},
             "two tensors"},
        Case{
            "the name of the metadata", {tensor("__metadata__", 1, {1}, kFour)}, "no name for one"},
        Case{"a name that is no UTF-8", {tensor("\xff", 1, {1}, kFour)}, "cannot stand in JSON"},
        Case{"strings", {tensor("x", 8, {1}, kFour)}, "does not have"},
        Case{"4-bit integers", {tensor("x", 22, {2}, kFour)}, "does not have"},
        Case{"half a byte", {tensor("x", 23, {3}, kTwo)}, "end inside a byte"},
        Case{"too few bytes", {tensor("x", 1, {2}, kFour)}, "has 4 bytes, shape [2] needs 8"}}) {
    SCOPED_TRACE(c.name);
    EXPECT_NE(message_of([&] { written(c.tensors, {}); }).find(c.message), std::string::npos)
        << message_of([&] { written(c.tensors, {}); });
  }
}

TEST(Safetensors, RefusesToWriteSizesThatWrapAround) {
  std::vector<NamedTensor> tensors;
  for (int i = 0; i < 9; ++i)
    tensors.push_back({"x" + std::to_string(i), 2, {(int64_t{1} << 60) - 1}, {}});
  EXPECT_EQ(message_of([&] { lay_out_safetensors(tensors, {}); }), "'x8': ends beyond 2^63 bytes");
}

}  // namespace
}  // namespace wshare::test
