#include "format/onnx_wire.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>

#include "support/bytes.h"
#include "wshare/error.h"

namespace wshare {
namespace {

using namespace std::string_literals;

using test::bytes_of;

std::string key(uint32_t number, WireType type) {
  std::string out;
  append_varint(out, uint64_t{number} << 3 | static_cast<uint64_t>(type));
  return out;
}

std::string number_field(uint32_t number, uint64_t value) {
  std::string out = key(number, WireType::kVarint);
  append_varint(out, value);
  return out;
}

std::string bytes_field(uint32_t number, std::string_view value) {
  std::string out = key(number, WireType::kBytes);
  append_varint(out, value.size());
  return out + std::string(value);
}

// TensorProto of uint8 with these bytes as raw_data.
std::string raw_tensor(std::string_view name, std::string_view raw) {
  return number_field(1, raw.size()) + number_field(2, 2) + bytes_field(8, name) +
         bytes_field(9, raw);
}

std::string model_of(const std::string& graph) { return bytes_field(7, graph); }
std::string model_of_tensor(const std::string& tensor) { return model_of(bytes_field(5, tensor)); }

// A graph whose only node has `graph` as attribute.
std::string around(const std::string& graph) {
  return bytes_field(1, bytes_field(5, bytes_field(6, graph)));
}

// Walks a copy of exactly this size on the heap, so that the sanitizer sees a read beyond it, and
// reads each tensor's reference too.
WireTensors walk_copy(std::string_view text) {
  const auto copy = std::make_unique<std::byte[]>(text.size());
  std::copy(bytes_of(text).begin(), bytes_of(text).end(), copy.get());
  const std::span<const std::byte> file(copy.get(), text.size());
  WireTensors found = find_wire_tensors(file);
  for (const WireTensor& tensor : found.tensors) read_wire_reference(file, tensor);
  return found;
}

std::vector<std::string> names_in(const std::string& model) {
  std::vector<std::string> names;
  for (const WireTensor& tensor : find_wire_tensors(bytes_of(model)).tensors) {
    names.emplace_back(read_wire_reference(bytes_of(model), tensor).name);
  }
  return names;
}

// Initializers, an attribute's tensor, a subgraph, a function and a sparse tensor.
std::string small_model() {
  const std::string nested = around(bytes_field(5, raw_tensor("inner", "12")));
  const std::string sparse =
      bytes_field(1, raw_tensor("values", "3")) + bytes_field(2, raw_tensor("indices", "4"));
  const std::string graph = nested + bytes_field(2, "graph") +
                            bytes_field(5, raw_tensor("outer", "abcd")) + bytes_field(15, sparse);
  const std::string node = bytes_field(5, bytes_field(5, raw_tensor("attribute", "5")));
  return number_field(1, 8) + bytes_field(2, "producer") + bytes_field(7, graph) +
         bytes_field(25, bytes_field(7, node));
}

void expect_refused(const std::string& model, ErrorCode code) {
  try {
    walk_copy(model);
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
  }
}

TEST(FindWireTensors, FindsNothingInAnEmptyFile) {
  EXPECT_TRUE(find_wire_tensors({}).tensors.empty());
  EXPECT_TRUE(find_wire_tensors({}).parents.empty());
}

TEST(FindWireTensors, FindsTensorsWhereverTheyStandInFileOrder) {
  EXPECT_EQ(names_in(small_model()),
            (std::vector<std::string>{"inner", "outer", "values", "indices", "attribute"}));
}

TEST(FindWireTensors, FollowsEveryRoad) {
  const std::string tensor = raw_tensor("t", "1");
  const std::string node = bytes_field(5, bytes_field(5, tensor));
  struct Case {
    const char* name;
    std::string model;
  };
  for (const Case& c :
       {Case{"initializer", model_of_tensor(tensor)},
        Case{"attribute.tensors",
             model_of(bytes_field(1, bytes_field(5, bytes_field(10, tensor))))},
        Case{"attribute.graphs",
             model_of(bytes_field(1, bytes_field(5, bytes_field(11, bytes_field(5, tensor)))))},
        Case{"attribute.sparse_tensor",
             model_of(bytes_field(1, bytes_field(5, bytes_field(22, bytes_field(1, tensor)))))},
        Case{"attribute.sparse_tensors",
             model_of(bytes_field(1, bytes_field(5, bytes_field(23, bytes_field(2, tensor)))))},
        Case{"training initialization", bytes_field(20, bytes_field(1, bytes_field(5, tensor)))},
        Case{"training algorithm", bytes_field(20, bytes_field(2, bytes_field(1, node)))}}) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(names_in(c.model), std::vector<std::string>{"t"});
  }
}

TEST(FindWireTensors, LooksAtNothingElse) {
  EXPECT_TRUE(
      names_in(bytes_field(25, bytes_field(11, bytes_field(5, raw_tensor("t", "1"))))).empty());
  // A value_info and an unknown field hold bytes that would be tensors, or no messages, elsewhere.
  EXPECT_TRUE(
      names_in(model_of(bytes_field(13, bytes_field(5, "\xff")) + bytes_field(999, "\xff\xff")))
          .empty());
}

TEST(FindWireTensors, GivesOffsetsInTheFile) {
  const std::string model = small_model();
  const WireTensors found = find_wire_tensors(bytes_of(model));
  ASSERT_EQ(found.tensors.size(), 5U);
  const WireTensor& outer = found.tensors[1];
  EXPECT_EQ(model.substr(outer.begin, outer.end - outer.begin), raw_tensor("outer", "abcd"));
  ASSERT_EQ(outer.payloads.size(), 1U);
  EXPECT_EQ(text_of(bytes_of(model), outer.payloads[0]), "abcd");
  for (size_t i = 0; i < found.parents.size(); ++i) {
    SCOPED_TRACE(i);
    const WireParent& parent = found.parents[i];
    std::span<const std::byte> length = bytes_of(model).subspan(parent.length_at);
    EXPECT_EQ(take_varint(length), parent.end - parent.begin);
    EXPECT_EQ(parent.begin, model.size() - length.size());
    if (parent.up == kNoParent) continue;
    ASSERT_LT(parent.up, i);
    EXPECT_GT(parent.begin, found.parents[parent.up].begin);
    EXPECT_LE(parent.end, found.parents[parent.up].end);
  }
  for (const WireTensor& tensor : found.tensors) {
    EXPECT_EQ(found.parents.at(tensor.parent).begin, tensor.begin);
    EXPECT_EQ(found.parents.at(tensor.parent).end, tensor.end);
  }
}

TEST(FindWireTensors, RefusesMessagesNestedOver100Deep) {
  const auto nested = [](int levels) {
    std::string graph = bytes_field(5, raw_tensor("deep", "1"));
    for (int i = 0; i < levels; ++i) graph = around(graph);
    return model_of(graph);
  };
  EXPECT_EQ(names_in(nested(30)), std::vector<std::string>{"deep"});
  expect_refused(nested(34), ErrorCode::kInvalid);
  expect_refused(nested(3000), ErrorCode::kInvalid);
}

TEST(FindWireTensors, RefusesTheCutMarkInATensorOnly) {
  for (const std::string& mark :
       {bytes_field(tensor_field::kCutMark, ""), number_field(tensor_field::kCutMark, 1),
        key(tensor_field::kCutMark, WireType::kFixed32) + "1234"}) {
    expect_refused(model_of_tensor(raw_tensor("t", "1") + mark), ErrorCode::kInvalid);
    expect_refused(model_of_tensor(mark + raw_tensor("t", "1")), ErrorCode::kInvalid);
    EXPECT_NO_THROW(walk_copy(model_of(mark)));
  }
}

TEST(FindWireTensors, MergesUnpackedRunsOfOneField) {
  const std::string one = key(4, WireType::kFixed32) + "aaaa";
  const std::string two = key(4, WireType::kFixed32) + "bbbb";
  const std::string other = number_field(5, 300);
  const std::string packed = bytes_field(4, "ccccdddd");
  struct Case {
    const char* name;
    std::string tensor;
    std::vector<std::string> payloads;
  };
  for (const Case& c :
       {Case{"one element", one, {one}}, Case{"neighbours", one + two + one, {one + two + one}},
        Case{"another field between", one + number_field(2, 1) + two, {one, two}},
        Case{"another payload between", one + other + two, {one, other, two}},
        Case{"packed", packed, {"ccccdddd"}},
        Case{"packed twice", packed + packed, {"ccccdddd", "ccccdddd"}},
        Case{"unpacked and packed", one + packed + two, {one, "ccccdddd", two}},
        Case{"varints", other + other, {other + other}}}) {
    SCOPED_TRACE(c.name);
    const std::string model = model_of_tensor(c.tensor);
    const WireTensors found = find_wire_tensors(bytes_of(model));
    ASSERT_EQ(found.tensors.size(), 1U);
    std::vector<std::string> payloads;
    for (const WireField& field : found.tensors[0].payloads)
      payloads.emplace_back(text_of(bytes_of(model), field));
    EXPECT_EQ(payloads, c.payloads);
  }
}

TEST(FindWireTensors, ThrowsOrReadsOnEveryTruncation) {
  const std::string model = small_model();
  ASSERT_EQ(walk_copy(model).tensors.size(), 5U);
  for (size_t size = 0; size < model.size(); ++size) {
    SCOPED_TRACE(size);
    try {
      walk_copy(std::string_view(model).substr(0, size));
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalid);
    }
  }
}

TEST(FindWireTensors, StaysInsideTheFileOnAnyBitFlip) {
  const std::string model = small_model();
  for (size_t bit = 0; bit < model.size() * 8; ++bit) {
    SCOPED_TRACE(bit);
    std::string flipped = model;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    try {
      for (const WireTensor& tensor : walk_copy(flipped).tensors) {
        EXPECT_LE(tensor.begin, tensor.end);
        EXPECT_LE(tensor.end, flipped.size());
        for (const WireField& field : tensor.payloads) {
          EXPECT_GE(field.payload, tensor.begin);
          EXPECT_LE(field.payload, tensor.end);
          EXPECT_LE(field.payload_size, tensor.end - field.payload);
        }
      }
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalid);
    }
  }
}

WireReference reference_of(const std::string& model) {
  return read_wire_reference(bytes_of(model), find_wire_tensors(bytes_of(model)).tensors.at(0));
}

TEST(ReadWireReference, GivesTypeShapeAndLocation) {
  const auto entry = [](std::string_view name, std::string_view value) {
    return bytes_field(13, bytes_field(1, name) + bytes_field(2, value));
  };
  const std::string model = model_of_tensor(
      number_field(1, 2) + bytes_field(1, "\x03\xac\x02") + number_field(1, ~uint64_t{0}) +
      number_field(2, 10) + bytes_field(8, "w") + number_field(14, 1) + entry("location", "w.bin") +
      entry("offset", "4096") + entry("length", "12") + entry("checksum", "x"));
  const WireReference reference = reference_of(model);
  EXPECT_EQ(reference.name, "w");
  EXPECT_EQ(reference.dtype, 10);
  EXPECT_EQ(reference.shape, (std::vector<int64_t>{2, 3, 300, -1}));
  EXPECT_TRUE(reference.external);
  EXPECT_EQ(reference.location, "w.bin");
  EXPECT_EQ(reference.offset, "4096");
  EXPECT_EQ(reference.length, "12");
}

TEST(ReadWireReference, RefusesMalformedFields) {
  std::string dims;
  for (int i = 0; i < 1024; ++i) dims += number_field(1, 1);
  const std::string most = model_of_tensor(dims);
  EXPECT_EQ(reference_of(most).shape.size(), 1024U);
  struct Case {
    const char* name;
    std::string tensor;
  };
  for (const Case& c : {Case{"1025 dimensions", dims + number_field(1, 1)},
                        Case{"1025 packed dimensions", bytes_field(1, std::string(1025, '\1'))},
                        Case{"packed dimension does not end", bytes_field(1, "\x01\x80")},
                        Case{"external entry ends early", bytes_field(13, "\x0a\x05x")}}) {
    SCOPED_TRACE(c.name);
    expect_refused(model_of_tensor(c.tensor), ErrorCode::kInvalid);
  }
}

}  // namespace
}  // namespace wshare
