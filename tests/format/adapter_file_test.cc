#include "format/adapter_file.h"

#include <flatbuffers/flatbuffers.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>
#include <map>

#include "format/named_tensors.h"
#include "support/allocated.h"
#include "support/files.h"
#include "support/places.h"
#include "wshare/error.h"

namespace wshare::test {
namespace {

std::string written(const std::vector<NamedTensor>& parameters) {
  const AdapterLayout layout = lay_out_adapter(parameters);
  std::string file;
  write_adapter(layout, parameters, append_to(file));
  EXPECT_EQ(file.size(), layout.size);
  return file;
}

// The parameters that `file` holds, as text; the bytes are copied to the heap, so that a sanitizer
// sees reads beyond them.
std::string read(const std::string& file) {
  const std::vector<char> copy(file.begin(), file.end());
  return text_of(read_adapter(std::as_bytes(std::span(copy))));
}

ErrorCode code_of(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& error) {
    return error.code();
  }
  ADD_FAILURE() << "no Error";
  return ErrorCode::kIo;
}

const std::string kA = noise(4 * 3 * 2, 1), kB = noise(2 * 2 * 5, 2), kEmpty;

std::vector<NamedTensor> some() {
  return {tensor("layer.lora_A.weight", 1, {3, 2}, kA),
          tensor("layer.lora_B.weight", 10, {2, 5}, kB),
          tensor("unused.lora_A.weight", 1, {7, 0}, kEmpty)};
}

TEST(AdapterFile, RoundTripsByteForByte) {
  const std::string file = written(some());
  EXPECT_EQ(file.substr(4, 4), "TORT");
  EXPECT_EQ(read(file), "layer.lora_A.weight 1 [3,2,] " + kA + "layer.lora_B.weight 10 [2,5,] " +
                            kB + "unused.lora_A.weight 1 [7,0,] ");
  EXPECT_EQ(written(read_adapter(std::as_bytes(std::span(file)))), file);
  EXPECT_EQ(read(written({})), "");
}

TEST(AdapterFile, SaysWhereTheBytesLieOnCacheLines) {
  const std::vector<NamedTensor> parameters = some();
  const AdapterLayout layout = lay_out_adapter(parameters);
  const std::string file = written(parameters);
  const std::vector<NamedTensor> got = read_adapter(std::as_bytes(std::span(file)));
  ASSERT_EQ(got.size(), parameters.size());
  for (size_t i = 0; i < got.size(); ++i) {
    SCOPED_TRACE(parameters[i].name);
    EXPECT_EQ(layout.offsets[i] % 64, 0u);
    EXPECT_EQ(reinterpret_cast<const char*>(got[i].bytes.data()) - file.data(),
              static_cast<ptrdiff_t>(layout.offsets[i]));
  }
}

TEST(AdapterFile, HasNothingButZerosBetweenTheBytes) {
  const std::vector<NamedTensor> parameters = some();
  const AdapterLayout layout = lay_out_adapter(parameters);
  const std::string file = written(parameters);
  uint64_t end = layout.head.size();
  for (size_t i = 0; i < parameters.size(); ++i) {
    const std::string gap = file.substr(end, layout.offsets[i] - end);
    uint32_t length = 0;
    std::memcpy(&length, gap.data() + gap.size() - 4, 4);
    EXPECT_EQ(length, parameters[i].bytes.size());
    EXPECT_EQ(gap.substr(0, gap.size() - 4), std::string(gap.size() - 4, '\0'));
    end = layout.offsets[i] + parameters[i].bytes.size();
  }
}

TEST(AdapterFile, RefusesToWriteWhatCannotBeRead) {
  const std::string one(4, 'x');
  struct Case {
    const char* name;
    std::vector<NamedTensor> parameters;
    ErrorCode code;
  };
  for (const Case& c :
       {Case{"no name", {tensor("", 1, {1}, one)}, ErrorCode::kInvalid},
        Case{"a name twice",
             {tensor("x", 1, {1}, one), tensor("x", 1, {1}, one)},
             ErrorCode::kInvalid},
        Case{"a scalar", {tensor("x", 1, {}, one)}, ErrorCode::kInvalid},
        Case{"a negative dimension", {tensor("x", 1, {-1}, one)}, ErrorCode::kInvalid},
        Case{"a product that wraps around",
             {tensor("x", 1, {1L << 32, 1L << 32}, one)},
             ErrorCode::kInvalid},
        Case{"too few bytes", {tensor("x", 1, {2}, one)}, ErrorCode::kInvalid},
        Case{"bool", {tensor("x", 9, {4}, one)}, ErrorCode::kUnsupported},
        Case{"string", {tensor("x", 8, {1}, one)}, ErrorCode::kUnsupported},
        Case{"complex64", {tensor("x", 14, {1}, one)}, ErrorCode::kUnsupported},
        Case{"int4", {tensor("x", 22, {8}, one)}, ErrorCode::kUnsupported},
        Case{"an unknown type", {tensor("x", 99, {1}, one)}, ErrorCode::kUnsupported}}) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(code_of([&] { written(c.parameters); }), c.code);
  }
}

TEST(AdapterFile, EndsBelow2GiB) {
  // The layout asks for no byte, so none needs to exist.
  const std::vector<int64_t> largest = {(int64_t{1} << 31) - 2 - 256};
  const AdapterLayout layout = lay_out_adapter(std::vector{NamedTensor{"x", 2, largest, {}}});
  EXPECT_LT(layout.size, (uint64_t{1} << 31) - 1);
  for (const std::vector<int64_t>& shape :
       {std::vector<int64_t>{(int64_t{1} << 31) - 64}, std::vector<int64_t>{int64_t{1} << 40}}) {
    EXPECT_EQ(code_of([&] {
                lay_out_adapter(std::vector{NamedTensor{"x", 2, shape, {}}});
              }),
              ErrorCode::kUnsupported);
  }
  const NamedTensor half{"x", 2, {int64_t{1} << 30}, {}}, other{"y", 2, {int64_t{1} << 30}, {}};
  EXPECT_EQ(code_of([&] { lay_out_adapter(std::vector{half, other}); }), ErrorCode::kUnsupported);
}

TEST(AdapterFile, IsRefusedWhenCutAnywhere) {
  const std::string file = written(some());
  const AdapterLayout layout = lay_out_adapter(some());
  for (size_t size = 0; size < file.size(); ++size) {
    SCOPED_TRACE(size);
    EXPECT_EQ(code_of([&] { read(file.substr(0, size)); }), ErrorCode::kInvalid);
  }
}

TEST(AdapterFile, IsRefusedOrReadAfterAnyFlipOfOneBit) {
  const std::string file = written(some());
  const std::string as_it_is = read(file);
  size_t refused = 0;
  for (size_t bit = 0; bit < file.size() * 8; ++bit) {
    std::string flipped = file;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    try {
      read(flipped);
    } catch (const Error& error) {
      EXPECT_NE(error.code(), ErrorCode::kIo);
      ++refused;
    }
  }
  EXPECT_GT(refused, lay_out_adapter(some()).head.size());
  EXPECT_EQ(read(file), as_it_is);
}

TEST(AdapterFile, IsRefusedOrReadWithAnyWordOfItsTablesHostile) {
  const std::string file = written(some());
  const size_t head = lay_out_adapter(some()).head.size();
  size_t refused = 0;
  for (size_t at = 0; at + 4 <= head; at += 2) {
    for (const uint32_t value : {0u, 1u, 0x7fffffffu, 0x80000000u, 0xfffffff8u, 0xffffffffu}) {
      std::string hostile = file;
      std::memcpy(hostile.data() + at, &value, 4);
      try {
        read(hostile);
      } catch (const Error&) {
        ++refused;
      }
    }
  }
  EXPECT_GT(refused, head);
}

TEST(AdapterFile, NamesTheVersionThatItDoesNotKnow) {
  std::string file = written(some());
  // The only word of the root table that is 1.
  const size_t head = lay_out_adapter(some()).head.size();
  size_t found = 0;
  for (size_t at = 0; at + 4 <= head; at += 4) {
    std::string other = file;
    other[at] = static_cast<char>(other[at] + 1);
    try {
      read(other);
    } catch (const Error& error) {
      if (std::string(error.what()) == "has .onnx_adapter format 2, known is 1") ++found;
    }
  }
  EXPECT_EQ(found, 1u);
}

TEST(AdapterFile, ReadsWhatStockOnnxRuntimeWrites) {
  const std::string file = read_file(fs::path(kTestdata) / "adapters/stock.onnx_adapter");
  const std::vector<char> copy(file.begin(), file.end());
  const std::vector<NamedTensor> parameters = read_adapter(std::as_bytes(std::span(copy)));
  std::map<std::string, NamedTensor> by_name;
  for (const NamedTensor& each : parameters) by_name[each.name] = each;
  ASSERT_EQ(by_name.size(), 3u);
  const NamedTensor& a = by_name.at("layer.lora_A.weight");
  EXPECT_EQ(a.dtype, 1);
  EXPECT_EQ(a.shape, (std::vector<int64_t>{3, 2}));
  std::vector<float> values(6);
  ASSERT_EQ(a.bytes.size(), 24u);
  std::memcpy(values.data(), a.bytes.data(), 24);
  EXPECT_EQ(values, (std::vector<float>{0, 0.5, 1, 1.5, 2, 2.5}));
  EXPECT_EQ(by_name.at("layer.lora_B.weight").dtype, 10);
  EXPECT_EQ(by_name.at("layer.lora_B.weight").shape, (std::vector<int64_t>{2, 5}));
  EXPECT_EQ(by_name.at("ids").dtype, 7);
}

// An adapter whose `count` names are each the end of one text: all but the last four bytes of every
// name are those of the next one, too.
std::string with_overlapping_names(uint32_t count) {
  flatbuffers::FlatBufferBuilder builder;
  std::string text;
  for (uint32_t i = 0; i < count; ++i) {  // lengths of what is behind them
    const uint32_t length = 4 * (count - 1 - i);
    text.append(reinterpret_cast<const char*>(&length), sizeof length);
  }
  const flatbuffers::uoffset_t outer = builder.CreateString(text).o;
  std::vector<flatbuffers::Offset<flatbuffers::Table>> tables;
  for (uint32_t i = 0; i + 1 < count; ++i) {
    const auto dims = builder.CreateVector(std::vector<int64_t>{1});
    const auto bytes = builder.CreateVector(std::vector<uint8_t>{7});
    const flatbuffers::uoffset_t start = builder.StartTable();
    builder.AddOffset(4, flatbuffers::Offset<flatbuffers::String>(outer - 4 - 4 * i));
    builder.AddOffset(6, dims);
    builder.AddElement<int32_t>(8, 2, 0);  // uint8
    builder.AddOffset(10, bytes);
    tables.emplace_back(builder.EndTable(start));
  }
  const auto list = builder.CreateVector(tables);
  const flatbuffers::uoffset_t start = builder.StartTable();
  builder.AddElement<int32_t>(4, 1, 0);
  builder.AddOffset(10, list);
  builder.Finish(flatbuffers::Offset<flatbuffers::Table>(builder.EndTable(start)), "TORT");
  return {reinterpret_cast<const char*>(builder.GetBufferPointer()), builder.GetSize()};
}

TEST(AdapterFile, TakesNoMoreMemoryForNamesThanTheFileHas) {
  const std::string few = with_overlapping_names(10);
  EXPECT_EQ(read_adapter(bytes_of(few)).size(), 9u);
  const std::string file = with_overlapping_names(10000);  // 200 MB of names
  ASSERT_LT(file.size(), 1'000'000u);
  const std::vector<char> copy(file.begin(), file.end());
  const uint64_t allocated = allocated_by([&] {
    EXPECT_EQ(code_of([&] { read_adapter(std::as_bytes(std::span(copy))); }), ErrorCode::kInvalid);
  });
  EXPECT_LT(allocated, file.size());
}

}  // namespace
}  // namespace wshare::test
