#include "format/restore_record.h"

#include <gtest/gtest.h>
#include <zstd.h>

#include "support/allocated_bytes.h"
#include "support/errors.h"
#include "util/wire.h"
#include "wshare/error.h"

namespace wshare {
namespace {

constexpr std::string_view kModel = "the bytes of the bundle's model, nearly those of the original";

RestoreRecord small_record() {
  RestoreRecord record;
  record.runs = {{10, 0}, {0, 3}, {300, 1}};
  record.external = {{"sub/w.bin",
                      5000,
                      {{ExternalPiece::Kind::kTensor, 0, 2},
                       {ExternalPiece::Kind::kZeros, 64, 36},
                       {ExternalPiece::Kind::kGap, 100, 7}}},
                     {"empty.bin", 0, {}}};
  record.literal = std::string(kModel) + " and a few\0more bytes";
  return record;
}

void expect_equal(const RestoreRecord& got, const RestoreRecord& expected) {
  EXPECT_EQ(got.literal, expected.literal);
  ASSERT_EQ(got.runs.size(), expected.runs.size());
  for (size_t i = 0; i < got.runs.size(); ++i) {
    EXPECT_EQ(got.runs[i].literal_size, expected.runs[i].literal_size);
    EXPECT_EQ(got.runs[i].tensor, expected.runs[i].tensor);
  }
  ASSERT_EQ(got.external.size(), expected.external.size());
  for (size_t i = 0; i < got.external.size(); ++i) {
    EXPECT_EQ(got.external[i].location, expected.external[i].location);
    EXPECT_EQ(got.external[i].size, expected.external[i].size);
    ASSERT_EQ(got.external[i].pieces.size(), expected.external[i].pieces.size());
    for (size_t j = 0; j < got.external[i].pieces.size(); ++j) {
      EXPECT_EQ(got.external[i].pieces[j].kind, expected.external[i].pieces[j].kind);
      EXPECT_EQ(got.external[i].pieces[j].offset, expected.external[i].pieces[j].offset);
      EXPECT_EQ(got.external[i].pieces[j].value, expected.external[i].pieces[j].value);
    }
  }
}

// Compresses `plain` as a record's text, whatever it holds.
std::string compressed(const std::string& plain) {
  std::string packed(ZSTD_compressBound(plain.size()), '\0');
  packed.resize(ZSTD_compress(packed.data(), packed.size(), plain.data(), plain.size(), 1));
  return packed;
}

std::string varints(std::initializer_list<uint64_t> values) {
  std::string text;
  for (const uint64_t value : values) append_varint(text, value);
  return text;
}

constexpr uint64_t kOriginalBytes = uint64_t{8} << 20;

TEST(PackRecord, RoundTripsByteForByte) {
  const RestoreRecord record = small_record();
  const std::string packed = pack_record(record, kModel);
  expect_equal(unpack_record(packed, kModel, kOriginalBytes), record);
  EXPECT_EQ(pack_record(record, kModel), packed);
  EXPECT_EQ(pack_record(unpack_record(packed, kModel, kOriginalBytes), kModel), packed);
}

TEST(PackRecord, RoundTripsEmptyRecordsAndModels) {
  for (const std::string_view model : {std::string_view(), kModel}) {
    SCOPED_TRACE(model);
    expect_equal(unpack_record(pack_record({}, model), model, kOriginalBytes), {});
    expect_equal(unpack_record(pack_record(small_record(), model), model, kOriginalBytes),
                 small_record());
  }
}

TEST(PackRecord, SaysOnlyWhatDiffersFromALargeModel) {
  std::string model(size_t{6} << 20, '\0');
  uint32_t state = 1;
  for (char& c : model) c = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
  RestoreRecord record;
  record.literal = model.substr(0, 1000) + "x" + model.substr(1000);
  const std::string packed = pack_record(record, model);
  EXPECT_LT(packed.size(), model.size() / 100);
  EXPECT_EQ(unpack_record(packed, model, kOriginalBytes).literal, record.literal);
}

TEST(UnpackRecord, RefusesEveryTruncation) {
  const std::string packed = pack_record(small_record(), kModel);
  for (size_t size = 0; size < packed.size(); ++size) {
    EXPECT_THROW(unpack_record(std::string_view(packed).substr(0, size), kModel, kOriginalBytes),
                 Error)
        << size;
  }
}

TEST(UnpackRecord, ThrowsOrReadsOnAnyBitFlip) {
  const std::string packed = pack_record(small_record(), kModel);
  for (size_t bit = 0; bit < packed.size() * 8; ++bit) {
    SCOPED_TRACE(bit);
    std::string flipped = packed;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    try {
      unpack_record(flipped, kModel, kOriginalBytes);
    } catch (const Error&) {
    }
  }
}

TEST(UnpackRecord, RefusesHostileText) {
  constexpr uint64_t kMax = ~uint64_t{0};
  struct Case {
    const char* name;
    std::string plain;
  };
  for (const Case& c :
       {Case{"nothing", ""}, Case{"another version", varints({99, 0, 0})},
        Case{"runs without end", varints({1, kMax})},
        Case{"more runs than bytes", varints({1, 5, 1, 1})},
        Case{"run ends early", varints({1, 1, 7})}, Case{"no external count", varints({1, 0})},
        Case{"externals without end", varints({1, 0, kMax})},
        Case{"location without end", varints({1, 0, 1, kMax, 1, 1})},
        Case{"pieces without end", varints({1, 0, 1, 0, 5, kMax})},
        Case{"unknown piece", varints({1, 0, 1, 0, 5, 1, 3, 0, 0})},
        Case{"piece ends early", varints({1, 0, 1, 0, 5, 1, 0, 0})},
        Case{"tensor index wraps to 0", varints({1, 1, 0, uint64_t{1} << 32, 0})},
        Case{"varint does not end", varints({1}) + std::string(11, '\xff')}}) {
    SCOPED_TRACE(c.name);
    EXPECT_THROW(unpack_record(compressed(c.plain), {}, kOriginalBytes), Error);
  }
  EXPECT_NO_THROW(unpack_record(compressed(varints({1, 0, 0}) + "literal"), {}, kOriginalBytes));
}

TEST(UnpackRecord, RefusesASizeThatTheFrameDoesNotHold) {
  // A frame of one block of one byte that claims 2^63 and 2^33 bytes.
  for (const char high : {'\x00', '\x80'}) {
    std::string frame("\x28\xb5\x2f\xfd\xe0", 5);
    frame += std::string("\x00\x00\x00\x00\x02\x00\x00", 7) + high;
    frame += std::string("\x09\x00\x00\x01", 4);
    EXPECT_THROW(unpack_record(frame, {}, kOriginalBytes), Error);
  }
}

TEST(UnpackRecord, TakesNoMoreMemoryThanTheOriginalAndTheFrameAllow) {
  const std::string literal(size_t{100} << 20, 'x');
  RestoreRecord record;
  record.literal = literal;
  const std::string packed = pack_record(record, {});
  EXPECT_EQ(unpack_record(packed, {}, literal.size()).literal.size(), literal.size());
  EXPECT_THROW(unpack_record(packed, {}, size_t{20} << 20), Error);  // 64 MiB are for runs
  // A frame of 13 bytes that claims 1 MiB, more than 13 bytes can say.
  const std::string frame("\x28\xb5\x2f\xfd\xa0\x00\x00\x10\x00\x0b\x00\x00x", 13);
  try {
    unpack_record(frame, {}, kOriginalBytes);
    ADD_FAILURE() << "was read";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("claims 1048576 bytes, can hold at most 425984"),
              std::string::npos)
        << error.what();
  }
}

// What a record holds is bounded by its bytes and the model's, whatever size the original claims.
TEST(UnpackRecord, TakesNoMoreMemoryThanTheFilesAllow) {
  constexpr uint64_t kClaimed = uint64_t{1} << 40;
  constexpr size_t kMany = size_t{20} << 20;
  struct Case {
    const char* name;
    std::string plain;
    const char* message;
  };
  for (const Case& c :
       {Case{"runs", varints({1, kMany / 2}) + std::string(kMany, '\0'), "a count is too large"},
        Case{"externals", varints({1, 0, kMany / 3}) + std::string(kMany, '\0'),
             "a count is too large"},
        Case{"few externals", varints({1, 0, 5000}) + std::string(15000, '\0'),
             "names 5000 external files, the model can name at most 79"},
        Case{"pieces", varints({1, 0, 1, 0, 0, kMany / 3}) + std::string(kMany, '\0'),
             "a count is too large"},
        Case{"a literal", varints({1, 0, 0}) + std::string(8 * kMany, 'x'),
             "claims 167772163 bytes, can hold at most "}}) {
    SCOPED_TRACE(c.name);
    const std::string packed = compressed(c.plain);
    ASSERT_LT(packed.size(), 20000u);
    std::string message;
    const uint64_t allocated = test::allocated_by(
        [&] { test::code_of([&] { unpack_record(packed, kModel, kClaimed); }, &message); });
    EXPECT_NE(message.find(c.message), std::string::npos) << message;
    EXPECT_LT(allocated, kMany + (size_t{1} << 20));
  }
}

TEST(UnpackRecord, TakesNoMoreMemoryForRunsAndPiecesThanAFewTimesTheirText) {
  RestoreRecord record;
  for (uint32_t i = 0; i < 100'000; ++i) record.runs.push_back({0, i % 100});
  record.external.push_back({"w.bin", 1, {}});
  for (uint64_t i = 0; i < 100'000; ++i)
    record.external[0].pieces.push_back({ExternalPiece::Kind::kZeros, i % 100, 1});
  const std::string packed = pack_record(record, kModel);
  const uint64_t allocated = test::allocated_by(
      [&] { expect_equal(unpack_record(packed, kModel, kOriginalBytes), record); });
  EXPECT_LT(allocated, 10 * 5 * uint64_t{100'000});
}

TEST(PackRecord, FillsUpWhatWouldUnpackToTooMuch) {
  RestoreRecord record;
  record.runs.assign(3'000'000, {1, 0});
  record.literal = std::string(size_t{80} << 20, 'x');
  const std::string packed = pack_record(record, kModel);
  EXPECT_GT(packed.size(), (size_t{16} << 20) / 64 - kModel.size());
  const RestoreRecord got = unpack_record(packed, kModel, record.literal.size());
  EXPECT_EQ(got.runs.size(), record.runs.size());
  EXPECT_EQ(got.literal, record.literal);
}

TEST(PackRecord, RefusesMoreExternalFilesThanTheModelCanName) {
  RestoreRecord record;
  for (int i = 0; i < 80; ++i) record.external.push_back({std::to_string(i), 1, {}});
  EXPECT_EQ(test::code_of([&] { pack_record(record, kModel); }), 5);
  record.external.pop_back();
  expect_equal(unpack_record(pack_record(record, kModel), kModel, 0), record);
}

}  // namespace
}  // namespace wshare
