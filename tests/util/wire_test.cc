#include "util/wire.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <vector>

#include "support/bytes.h"
#include "wshare/error.h"

namespace wshare {
namespace {

using namespace std::string_literals;

using test::bytes_of;

std::vector<WireField> read_all(std::span<const std::byte> file) {
  std::vector<WireField> fields;
  WireReader reader(file, 0, file.size());
  while (const std::optional<WireField> field = reader.next()) fields.push_back(*field);
  return fields;
}

// A copy of exactly this size on the heap, so that the sanitizer sees a read beyond it.
std::vector<WireField> read_copy(std::string_view text) {
  const auto copy = std::make_unique<std::byte[]>(text.size());
  std::copy(bytes_of(text).begin(), bytes_of(text).end(), copy.get());
  return read_all({copy.get(), text.size()});
}

// Field 1 = 300, field 2 = "testing", field 3 = 4 bytes, field 4 = 8 bytes, field 1000 = "".
const std::string kMessage =
    "\x08\xac\x02"s
    "\x12\x07testing"s
    "\x1d\x01\x02\x03\x04"s
    "\x21\x01\x02\x03\x04\x05\x06\x07\x08"s
    "\xc2\x3e\x00"s;

TEST(WireReader, ReadsEachWireTypeWithItsPlace) {
  const std::vector<WireField> fields = read_copy(kMessage);
  ASSERT_EQ(fields.size(), 5U);
  EXPECT_EQ(fields[0].number, 1U);
  EXPECT_EQ(fields[0].type, WireType::kVarint);
  EXPECT_EQ(fields[0].varint, 300U);
  EXPECT_EQ(fields[0].payload_size, 2U);
  EXPECT_EQ(fields[1].type, WireType::kBytes);
  EXPECT_EQ(fields[1].begin, 3U);
  EXPECT_EQ(fields[1].payload, 5U);
  EXPECT_EQ(text_of(bytes_of(kMessage), fields[1]), "testing");
  EXPECT_EQ(fields[2].type, WireType::kFixed32);
  EXPECT_EQ(text_of(bytes_of(kMessage), fields[2]), "\x01\x02\x03\x04");
  EXPECT_EQ(fields[3].type, WireType::kFixed64);
  EXPECT_EQ(fields[3].payload_size, 8U);
  EXPECT_EQ(fields[4].number, 1000U);
  EXPECT_EQ(fields[4].payload_size, 0U);
  EXPECT_EQ(fields[4].end(), kMessage.size());
}

TEST(WireReader, GivesNothingForAnEmptyMessage) { EXPECT_TRUE(read_copy("").empty()); }

TEST(WireReader, RefusesEveryTruncationInsideAField) {
  std::vector<size_t> ends = {0};
  for (const WireField& field : read_copy(kMessage)) ends.push_back(field.end());
  for (size_t size = 0; size < kMessage.size(); ++size) {
    SCOPED_TRACE(size);
    const std::string_view cut = std::string_view(kMessage).substr(0, size);
    if (std::find(ends.begin(), ends.end(), size) != ends.end()) {
      EXPECT_NO_THROW(read_copy(cut));
    } else {
      EXPECT_THROW(read_copy(cut), Error);
    }
  }
}

TEST(WireReader, NeverLeavesTheMessageOnAnyBitFlip) {
  for (size_t bit = 0; bit < kMessage.size() * 8; ++bit) {
    std::string flipped = kMessage;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    SCOPED_TRACE(bit);
    try {
      uint64_t at = 0;
      for (const WireField& field : read_copy(flipped)) {
        EXPECT_EQ(field.begin, at);
        at = field.end();
      }
      EXPECT_EQ(at, flipped.size());
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalid);
    }
  }
}

TEST(WireReader, RefusesMalformedFields) {
  struct Case {
    const char* name;
    std::string message;
  };
  for (const Case& c :
       {Case{"field number 0", "\x00\x01"s}, Case{"field number 0, bytes", "\x02\x00"s},
        Case{"wire type 3", "\x0b"s}, Case{"wire type 4", "\x0c"s}, Case{"group", "\x0b\x0c"s},
        Case{"wire type 6", "\x0e\x00\x00\x00\x00"s}, Case{"wire type 7", "\x0f\x00"s},
        Case{"key over 32 bits", "\x88\x80\x80\x80\x10\x01"s},
        Case{"varint of 11 bytes", "\x08"s + std::string(10, '\x80') + "\x01"s},
        Case{"key of 11 bytes", "\x88"s + std::string(9, '\x80') + "\x01\x01"s},
        Case{"length one past the end", "\x0a\x03xx"s},
        Case{"length wraps around", "\x0a"s + std::string(9, '\xff') + "\x01x"s},
        Case{"length wraps to the key", "\x0a"s + "\xf5"s + std::string(8, '\xff') + "\x01"s},
        Case{"length 2^63", "\x0a"s + std::string(9, '\x80') + "\x01x"s}}) {
    SCOPED_TRACE(c.name);
    try {
      read_copy(c.message);
      ADD_FAILURE() << "accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalid);
    }
  }
}

TEST(WireReader, StaysInsideItsPartOfTheFile) {
  const std::string file =
      "\x0a\x04"
      "abcd\x08\x01"s;
  WireReader reader(bytes_of(file), 0, 4);  // the file goes on, the message does not
  EXPECT_THROW(reader.next(), Error);
  WireReader tail(bytes_of(file), 6, 8);
  const std::optional<WireField> field = tail.next();
  ASSERT_TRUE(field.has_value());
  EXPECT_EQ(field->begin, 6U);
  EXPECT_FALSE(tail.next().has_value());
}

TEST(TakeVarint, TakesBackWhatAppendVarintGives) {
  for (const uint64_t value :
       {uint64_t{0}, uint64_t{1}, uint64_t{127}, uint64_t{128}, uint64_t{300}, uint64_t{16384},
        uint64_t{1} << 32, uint64_t{1} << 63, std::numeric_limits<uint64_t>::max()}) {
    SCOPED_TRACE(value);
    std::string text;
    append_varint(text, value);
    EXPECT_LE(text.size(), 10U);
    text += "rest";
    std::span<const std::byte> bytes = bytes_of(text);
    EXPECT_EQ(take_varint(bytes), value);
    EXPECT_EQ(bytes.size(), 4U);
  }
}

TEST(TakeVarint, RefusesNumbersThatDoNotEnd) {
  for (const std::string& text : {""s, "\x80"s, std::string(9, '\xff'), std::string(10, '\xff'),
                                  std::string(10, '\x80') + "\x01"s, std::string(100, '\x80')}) {
    SCOPED_TRACE(text.size());
    std::span<const std::byte> bytes = bytes_of(text);
    EXPECT_THROW(take_varint(bytes), Error);
    EXPECT_EQ(bytes.size(), text.size());
  }
}

}  // namespace
}  // namespace wshare
