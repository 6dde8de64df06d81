#include "format/codec/residual.h"

#include <gtest/gtest.h>

#include <bit>

#include "format/codec/delta_block.h"
#include "format/codec/residual_estimate.h"
#include "format/floats.h"
#include "support/bytes.h"
#include "support/files.h"
#include "support/places.h"
#include "wshare/error.h"

namespace wshare {
namespace {

using test::append_to;
using test::bytes_as;
using test::bytes_of;
using test::HeldMatrix;
using test::kFloatTypes;
using test::random_matrix;
using test::values_of;

struct Coded {
  std::string bytes;
  ResidualReport report;
};

Coded encode(const Prediction& prediction, const std::string& actual) {
  Coded coded;
  coded.report =
      encode_residual(prediction, bytes_of(actual), append_to(coded.bytes), {.errors = true});
  EXPECT_EQ(coded.report.coded_bytes, coded.bytes.size());
  return coded;
}

std::string decode(const Prediction& prediction, const std::string& residual,
                   int codec = kLaneCodec) {
  std::string actual;
  decode_residual(prediction, codec, bytes_of(residual), append_to(actual));
  return actual;
}

constexpr LaneForm kForms[] = {LaneForm::kScalar, LaneForm::kAvx2, LaneForm::kAvx512};

// By each form that the machine has; all must agree.
std::string decode_by_forms(const Prediction& prediction, const std::string& residual) {
  std::string first;
  for (const LaneForm form : kForms) {
    if (!has_lane_form(form)) continue;
    const ResidualReader reader(prediction, bytes_of(residual), form);
    std::string actual;
    for (size_t i = 0; i < reader.block_count(); ++i) {
      std::string block(reader.block_bytes(i), '\0');
      reader.read_block(i, std::as_writable_bytes(std::span(block)));
      actual += block;
    }
    if (form == LaneForm::kScalar) first = actual;
    EXPECT_TRUE(actual == first) << static_cast<int>(form);
  }
  return first;
}

std::string predict(const Prediction& prediction) { return decode(prediction, ""); }

// A base, a task that was merged with factors a little off those at hand, and the factors.
struct Merge {
  HeldMatrix base, left, right;
  std::string task;
  bool transposed = false;  // the base is

  Prediction prediction() const {
    const uint64_t rows = left.rows, cols = right.cols;
    return {base.dtype,  rows,        cols, transposed ? transpose_of(base.view()) : base.view(), 1,
            left.view(), right.view()};
  }
};

Merge merge_of(uint64_t rows, uint64_t cols, uint64_t rank, int32_t dtype,
               bool transposed = false) {
  Merge merge;
  merge.transposed = transposed;
  merge.base = random_matrix(transposed ? cols : rows, transposed ? rows : cols, dtype, 1, 0.05);
  merge.left = random_matrix(rows, rank, dtype == kFloat16 ? kFloat16 : kFloat32, 2, 0.02);
  merge.right = random_matrix(rank, cols, dtype == kFloat16 ? kFloat16 : kFloat32, 3, 0.5);
  Merge exact = merge;
  exact.left = random_matrix(rows, rank, kFloat64, 2, 0.02);
  exact.right = random_matrix(rank, cols, kFloat64, 3, 0.5);
  merge.task = predict(exact.prediction());
  return merge;
}

TEST(Residual, GivesMergedWeightsBackBitForBit) {
  struct Case {
    const char* name;
    uint64_t rows, cols, rank;
    bool transposed;
  };
  for (const Case& c :
       {Case{"one element", 1, 1, 1, false}, Case{"one row", 1, 900, 2, false},
        Case{"small", 37, 41, 3, false}, Case{"transposed", 37, 41, 3, true},
        Case{"rank 0", 20, 30, 0, false}, Case{"blocks and a rest", 270, 1031, 2, false}}) {
    for (const int32_t dtype : kFloatTypes) {
      SCOPED_TRACE(testing::Message() << c.name << ", type " << dtype);
      const Merge merge = merge_of(c.rows, c.cols, c.rank, dtype, c.transposed);
      const Coded coded = encode(merge.prediction(), merge.task);
      ASSERT_TRUE(decode(merge.prediction(), coded.bytes) == merge.task);
      ASSERT_TRUE(decode_by_forms(merge.prediction(), coded.bytes) == merge.task);
      EXPECT_EQ(encode(merge.prediction(), merge.task).bytes, coded.bytes);
      EXPECT_EQ(coded.bytes.empty(), predict(merge.prediction()) == merge.task);
    }
  }
}

TEST(Residual, IsSmallForMergedWeights) {
  const Merge merge = merge_of(300, 1000, 16, kFloat32);
  EXPECT_LT(encode(merge.prediction(), merge.task).bytes.size(), merge.task.size() / 25);
}

TEST(Residual, IsEmptyWherePredictionIsExact) {
  const Merge merge = merge_of(30, 40, 4, kFloat16);
  const Coded coded = encode(merge.prediction(), predict(merge.prediction()));
  EXPECT_EQ(coded.bytes, "");
  EXPECT_EQ(coded.report.differing_elements, 0u);
  const Prediction empty{kFloat32, 0, 7, {}, 1, {}, {}};
  EXPECT_EQ(encode(empty, "").bytes, "");
  EXPECT_EQ(decode(empty, ""), "");
}

TEST(Residual, SkipsEqualBlocks) {
  // Five blocks of 1 MiB; an element of the third differs.
  const Prediction zeros{kFloat32, 5, 1 << 18, {}, 1, {}, {}};
  std::string actual(size_t{5} << 20, '\0');
  actual[(size_t{2} << 20) + 4] = 1;
  const Coded coded = encode(zeros, actual);
  EXPECT_EQ(coded.bytes.substr(0, 2), std::string(2, '\0'));
  EXPECT_LT(coded.bytes.size(), 100u);
  EXPECT_EQ(coded.report.differing_elements, 1u);
  EXPECT_TRUE(decode(zeros, coded.bytes) == actual);
}

TEST(Residual, KeepsEverySpecialValueOnBothSides) {
  for (const int32_t dtype : kFloatTypes) {
    SCOPED_TRACE(dtype);
    const double largest = dtype == kFloat16    ? 65504
                           : dtype == kBfloat16 ? 0x1.fep127
                           : dtype == kFloat32  ? 0x1.fffffep127
                                                : 0x1.fffffffffffffp1023;
    const double smallest =
        std::ldexp(1.0, static_cast<int>(float_format(dtype)->smallest_exponent) -
                            float_format(dtype)->significand_bits);
    const std::vector<double> special = {NAN,      -NAN,      INFINITY, -INFINITY, 0.0,  -0.0,
                                         smallest, -smallest, largest,  -largest,  1.25, -3};
    std::vector<double> across, down;
    for (const double a : special) {
      for (const double b : special) {
        across.push_back(a);
        down.push_back(b);
      }
    }
    const HeldMatrix base{bytes_as(across, dtype), dtype, 12, 12};
    std::string task = bytes_as(down, dtype);
    // A NaN with a payload and a sign, which no rounding makes.
    task.replace(0, float_format(dtype)->size, std::string(float_format(dtype)->size, '\xff'));
    const Prediction prediction{dtype, 12, 12, base.view(), 1, {}, {}};
    EXPECT_EQ(decode_by_forms(prediction, encode(prediction, task).bytes), task);
  }
}

TEST(Residual, TakesTensorsThatHaveNothingInCommon) {
  for (const int32_t dtype : kFloatTypes) {
    std::string base = test::noise(70000, 1), task = test::noise(70000, 2);
    const uint64_t count = base.size() / float_format(dtype)->size;
    const Prediction prediction{
        dtype, 1, count, MatrixView{bytes_of(base), dtype, 1, count, false}, 1, {}, {}};
    const Coded coded = encode(prediction, task);
    EXPECT_TRUE(decode_by_forms(prediction, coded.bytes) == task);
    EXPECT_LT(coded.bytes.size(), task.size() * 5 / 4);
  }
}

TEST(Residual, ReportsTheErrorOfTheFactors) {
  const HeldMatrix base{bytes_as({1, 2, 3}, kFloat32), kFloat32, 1, 3};
  const HeldMatrix left{bytes_as({1}, kFloat32), kFloat32, 1, 1};
  const HeldMatrix right{bytes_as({1, 1, 0x1p-40}, kFloat32), kFloat32, 1, 3};
  const Prediction prediction{kFloat32, 1, 3, base.view(), 2, left.view(), right.view()};
  const ResidualReport report = encode(prediction, bytes_as({3, 4.5, 6}, kFloat32)).report;
  EXPECT_EQ(report.differing_elements, 1u);        // 4.5 is not 2 * 2 + 1
  EXPECT_EQ(report.square_delta, 1 + 0.25);        // of 3 - 2, 4.5 - 4, 6 - 6
  EXPECT_EQ(report.square_error, 0.25 + 0x1p-80);  // of 3 - 3, 4.5 - 5, 6 - (6 + 2^-40)
  EXPECT_EQ(report.max_abs_error, 0.5);
}

TEST(Residual, ReportsNoErrorWhereInfinitiesAgree) {
  const HeldMatrix base{bytes_as({INFINITY, 1}, kFloat32), kFloat32, 1, 2};
  const Prediction prediction{kFloat32, 1, 2, base.view(), 1, {}, {}};
  EXPECT_EQ(encode(prediction, base.bytes).report.square_error, 0);
  const ResidualReport other = encode(prediction, bytes_as({NAN, 1}, kFloat32)).report;
  EXPECT_TRUE(std::isnan(other.square_error));
  EXPECT_TRUE(std::isnan(other.max_abs_error));
}

TEST(EncodeResidual, RefusesATensorOfAnotherSize) {
  const Merge merge = merge_of(3, 4, 1, kFloat32);
  std::string out;
  EXPECT_THROW(encode_residual(merge.prediction(), bytes_of(merge.task).first(44), append_to(out)),
               Error);
  EXPECT_EQ(out, "");
}

TEST(DecodeResidual, RefusesEveryTruncationWithinABlock) {
  const Merge merge = merge_of(20, 20, 2, kFloat32);
  const std::string residual = encode(merge.prediction(), merge.task).bytes;
  for (size_t size = 1; size < residual.size(); ++size) {
    EXPECT_THROW(decode(merge.prediction(), residual.substr(0, size)), Error) << size;
  }
  // Between blocks it gives other bytes, which the hash of the tensor shows.
  EXPECT_NE(decode(merge.prediction(), ""), merge.task);
}

// But for weights that give the same shares.
TEST(DecodeResidual, SeesBitFlipsOrGivesOtherBytes) {
  for (const int32_t dtype : kFloatTypes) {
    Merge merge = merge_of(9, 20, 2, dtype);
    for (size_t i = 0; i < merge.task.size(); i += 7) merge.task[i] ^= 0x21;
    const std::string residual = encode(merge.prediction(), merge.task).bytes;
    ASSERT_GT(residual.size(), 40u);
    size_t harmless = 0;
    for (size_t bit = 0; bit < residual.size() * 8; ++bit) {
      std::string bad = residual;
      bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ 1 << bit % 8);
      try {
        const std::string actual = decode(merge.prediction(), bad);
        EXPECT_EQ(actual.size(), merge.task.size());
        if (actual == merge.task) ++harmless;
      } catch (const Error&) {
      }
    }
    EXPECT_LT(harmless, 20u);
  }
}

TEST(DecodeResidual, RefusesHostileSizes) {
  const Merge merge = merge_of(20, 20, 2, kFloat32);
  const std::string residual = encode(merge.prediction(), merge.task).bytes;
  struct Case {
    const char* name;
    size_t at;
    std::string bytes;
  };
  for (const Case& c : {Case{"block larger than the residual", 0, "\xff\xff\xff\xff"},
                        Case{"a size that does not end", 0, std::string(11, '\xff')},
                        Case{"64 lanes", 2, "\6"}, Case{"a flag that nobody writes", 2, "\x22"},
                        Case{"marks of rows larger than the block", 2, "\x10"},
                        Case{"exponent of infinity", 3, std::string("\xff\0", 2)},
                        Case{"exponent beyond the type", 3, "\xff\xff"}}) {
    SCOPED_TRACE(c.name);
    std::string bad = residual;
    bad.replace(c.at, c.bytes.size(), c.bytes);
    EXPECT_THROW(decode(merge.prediction(), bad), Error);
  }
  EXPECT_THROW(decode(merge.prediction(), residual + residual), Error);
  EXPECT_THROW(decode(merge.prediction(), residual + '\0'), Error);
}

// A fine-tune: every element of some rows moves a little, the others not at all.
std::string tuned(const HeldMatrix& base, double by, uint64_t every_row) {
  std::mt19937 random(7);
  std::vector<double> values = values_of(base.bytes, base.dtype);
  for (size_t i = 0; i < values.size(); ++i) {
    const double move = by * (static_cast<double>(random()) / 0x1p31 - 1);
    if (i / base.cols % every_row == 0) values[i] += move;
  }
  return bytes_as(values, base.dtype);
}

Prediction copy_of(const HeldMatrix& base) {
  return {base.dtype, base.rows, base.cols, base.view(), 1, {}, {}};
}

// The first block, encoded by a form.
std::string first_block(const HeldMatrix& base, const std::string& task, LaneForm form) {
  const size_t size = std::min(task.size(), kResidualBlock);
  std::string code;
  encode_delta_block(bytes_of(base.bytes).first(size), bytes_of(task).first(size), base.dtype,
                     {base.cols, 0}, form, code);
  return code;
}

TEST(Residual, GivesFineTunesBackByEveryForm) {
  struct Case {
    const char* name;
    uint64_t rows, cols;
    double by;
    uint64_t every_row;
  };
  for (const Case& c :
       {Case{"few elements", 3, 5, 1e-3, 1}, Case{"a group and a rest", 5, 20, 1e-3, 1},
        Case{"blocks and a rest", 901, 700, 1e-3, 1}, Case{"large moves", 300, 700, 10, 1},
        Case{"small moves", 300, 700, 1e-9, 1}, Case{"some rows", 901, 700, 1e-3, 7},
        Case{"rows of one element", 3000, 1, 1e-3, 3},
        Case{"rows larger than a block", 3, 300001, 1e-3, 2}}) {
    for (const int32_t dtype : kFloatTypes) {
      SCOPED_TRACE(testing::Message() << c.name << ", type " << dtype);
      const HeldMatrix base = random_matrix(c.rows, c.cols, dtype, 5, 0.1);
      const std::string task = tuned(base, c.by, c.every_row);
      const std::string residual = encode(copy_of(base), task).bytes;
      ASSERT_TRUE(decode_by_forms(copy_of(base), residual) == task);
      ASSERT_TRUE(first_block(base, task, LaneForm::kScalar) ==
                  first_block(base, task, best_lane_form()));
      EXPECT_LT(residual.size(), task.size() * 21 / 20 + 300);
    }
  }
}

TEST(Residual, LeavesRowsOutThatAreAsPredicted) {
  const HeldMatrix base = random_matrix(2000, 200, kFloat32, 5, 0.1);
  const size_t all = encode(copy_of(base), tuned(base, 1e-4, 1)).bytes.size();
  const size_t some = encode(copy_of(base), tuned(base, 1e-4, 10)).bytes.size();
  // A tenth, the marks, and as many tables.
  EXPECT_LT(some, all / 10 + 2000 / 8 + 1000);
  EXPECT_GT(some, all / 11);
}

TEST(Residual, SharesOneTableAmongTheClassesOfASmallTensor) {
  const HeldMatrix base = random_matrix(1, 200, kFloat32, 5, 0.1);
  const Coded coded = encode(copy_of(base), tuned(base, 1e-4, 1));
  EXPECT_EQ(coded.bytes[2] & 8, 8);
  // About 2 bytes each; the table takes a few dozen.
  EXPECT_LT(coded.bytes.size(), 500u);
}

TEST(Residual, IsTheSameOnAnyNumberOfThreads) {
  const HeldMatrix base = random_matrix(901, 700, kFloat32, 5, 0.1);
  const std::string task = tuned(base, 1e-3, 1);
  const std::string residual = encode(copy_of(base), task).bytes;
  for (const unsigned threads : {2U, 5U}) {
    std::string coded, decoded;
    const ResidualReport report =
        encode_residual(copy_of(base), bytes_of(task), append_to(coded), {threads, true});
    EXPECT_TRUE(coded == residual);
    EXPECT_EQ(report.square_error, encode(copy_of(base), task).report.square_error);
    decode_residual(copy_of(base), kLaneCodec, bytes_of(residual), append_to(decoded), threads);
    EXPECT_TRUE(decoded == task);
  }
}

TEST(Residual, CopiesTheBaseBitByBit) {
  // A NaN with a payload, which arithmetic would not keep; and a transposed base.
  HeldMatrix base = random_matrix(70, 41, kFloat16, 5, 0.1);
  base.bytes.replace(100, 2, "\x01\xfe");
  Prediction prediction = copy_of(base);
  EXPECT_EQ(encode(prediction, base.bytes).bytes, "");
  EXPECT_EQ(predict(prediction), base.bytes);
  prediction = {kFloat16, 41, 70, transpose_of(base.view()), 1, {}, {}};
  const std::string turned = predict(prediction);
  const HeldMatrix again{turned, kFloat16, 41, 70};
  EXPECT_EQ(predict({kFloat16, 70, 41, transpose_of(again.view()), 1, {}, {}}), base.bytes);
  EXPECT_EQ(turned.substr(1 * 70 * 2, 2), base.bytes.substr(1 * 2, 2));  // (1, 0) of (0, 1)
}

TEST(DecodeResidual, SeesDamageAlikeInEveryForm) {
  const HeldMatrix base = random_matrix(300, 500, kFloat32, 5, 0.1);
  const std::string residual = encode(copy_of(base), tuned(base, 1e-3, 1)).bytes;
  std::mt19937 random(3);
  for (int i = 0; i < 60; ++i) {
    std::string bad = residual;
    const size_t at = i < 30 ? i * 20 : random() % bad.size();
    bad[at] = static_cast<char>(bad[at] ^ 1 << random() % 8);
    if (i % 3 == 0) bad.resize(bad.size() - random() % 1000);
    std::vector<std::string> seen;
    for (const LaneForm form : kForms) {
      if (!has_lane_form(form)) continue;
      std::string block(base.bytes.size(), '\0');
      try {
        ResidualReader(copy_of(base), bytes_of(bad), form)
            .read_block(0, std::as_writable_bytes(std::span(block)));
        seen.push_back(block);
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::kInvalid);
        seen.push_back("refused");
      }
      EXPECT_TRUE(seen.back() == seen.front()) << at;
    }
  }
}

TEST(EstimateResidual, IsWithinTwoPointsOfTheSize) {
  struct Case {
    const char* name;
    double by;
    uint64_t every_row;
  };
  for (const Case& c : {Case{"large moves", 1e-2, 1}, Case{"small moves", 1e-6, 1},
                        Case{"some rows", 1e-3, 9}, Case{"none", 0, 1}}) {
    for (const int32_t dtype : {kFloat32, kFloat16, kBfloat16}) {
      SCOPED_TRACE(testing::Message() << c.name << ", type " << dtype);
      const HeldMatrix base = random_matrix(1000, 700, dtype, 5, 0.1);
      const std::string task = tuned(base, c.by, c.every_row);
      const auto size = static_cast<double>(encode(copy_of(base), task).bytes.size());
      const auto estimate = static_cast<double>(estimate_residual(copy_of(base), bytes_of(task)));
      EXPECT_NEAR(estimate, size, 0.02 * static_cast<double>(task.size()));
    }
  }
}

TEST(EstimateResidual, IsTheSizeOfASmallTensor) {
  const HeldMatrix base = random_matrix(10, 70, kFloat32, 5, 0.1);
  const std::string task = tuned(base, 1e-3, 1);
  EXPECT_EQ(estimate_residual(copy_of(base), bytes_of(task)),
            encode(copy_of(base), task).bytes.size());
}

TEST(FitMultiplier, FindsWeightDecay) {
  const HeldMatrix base = random_matrix(1000, 200, kFloat32, 5, 0.1);
  std::vector<double> values = values_of(base.bytes, kFloat32);
  for (double& value : values) value *= 0.9991;
  // A tenth of the rows was trained, too.
  const HeldMatrix decayed{bytes_as(values, kFloat32), kFloat32, 1000, 200};
  const std::string task = tuned(decayed, 1e-3, 10);
  Prediction prediction = copy_of(base);
  const size_t copied = encode(prediction, task).bytes.size();
  prediction.multiplier = fit_multiplier(prediction, bytes_of(task)).multiplier;
  EXPECT_NEAR(prediction.multiplier, 0.9991, 1e-7);
  const std::string residual = encode(prediction, task).bytes;
  EXPECT_LT(residual.size(), copied / 3);
  EXPECT_TRUE(decode_by_forms(prediction, residual) == task);
}

TEST(FitMultiplier, IsOneWhereNothingIsGained) {
  const HeldMatrix base = random_matrix(1000, 200, kFloat32, 5, 0.1);
  EXPECT_EQ(fit_multiplier(copy_of(base), bytes_of(tuned(base, 1e-3, 1))).multiplier, 1);
  EXPECT_EQ(fit_multiplier(copy_of(base), bytes_of(base.bytes)).multiplier, 1);
  const HeldMatrix zeros{std::string(4000, '\0'), kFloat32, 10, 100};
  EXPECT_EQ(fit_multiplier(copy_of(zeros), bytes_of(base.bytes).first(4000)).multiplier, 1);
}

TEST(ResidualReader, RefusesMoreBlocksThanTheTensorHas) {
  const HeldMatrix base = random_matrix(2, 2, kFloat32, 5, 0.1);
  EXPECT_THROW(ResidualReader(copy_of(base), bytes_of(std::string(2, '\0'))), Error);
}

// Made by testdata/make/derived.py, a second implementation of docs/bundle-format.md.
TEST(FirstResidual, IsThatOfTheFormatsDescription) {
  for (const auto& [name, dtype] :
       {std::pair("float32", kFloat32), std::pair("float16", kFloat16)}) {
    SCOPED_TRACE(name);
    const std::string stem = std::string(test::kTestdata) + "/compat/derived_" + name + ".";
    const HeldMatrix base{test::read_file(stem + "base"), dtype, 40, 30};  // transposed
    const HeldMatrix left{test::read_file(stem + "left"), dtype, 30, 5};
    const HeldMatrix right{test::read_file(stem + "right"), dtype, 5, 40};
    const std::string residual = test::read_file(stem + "residual");
    const std::string task = test::read_file(stem + "task");
    ASSERT_EQ(task.size(), 1200 * float_format(dtype)->size);
    const Prediction prediction{dtype, 30,          40,          transpose_of(base.view()),
                                0.75,  left.view(), right.view()};
    EXPECT_TRUE(decode(prediction, residual, kFirstCodec) == task);
    EXPECT_TRUE(decode(prediction, encode(prediction, task).bytes) == task);
    EXPECT_LT(encode(prediction, task).bytes.size(), residual.size());
    for (size_t size = 1; size < residual.size(); ++size)
      EXPECT_THROW(decode(prediction, residual.substr(0, size), kFirstCodec), Error) << size;
    EXPECT_THROW(decode(prediction, residual + std::string(4, '\0'), kFirstCodec), Error);
    for (size_t bit = 0; bit < residual.size() * 8; bit += 3) {
      std::string bad = residual;
      bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ 1 << bit % 8);
      try {
        EXPECT_NE(decode(prediction, bad, kFirstCodec), task) << bit;
      } catch (const Error&) {
      }
    }
  }
}

TEST(Residual, IsThatOfTheFormatsDescription) {
  struct Case {
    const char* name;
    int32_t dtype;
    uint64_t rows, cols;
  };
  // By class and shifted, with marks of rows and without, 32, 4 and 1 lanes, coarse weights.
  for (const Case& c : {Case{"float32", kFloat32, 37, 45}, Case{"bfloat16", kBfloat16, 40, 50},
                        Case{"float16", kFloat16, 20, 30}, Case{"float64", kFloat64, 7, 9}}) {
    SCOPED_TRACE(c.name);
    const std::string stem = std::string(test::kTestdata) + "/compat/lanes_" + c.name + ".";
    const HeldMatrix base{test::read_file(stem + "base"), c.dtype, c.rows, c.cols};
    const std::string residual = test::read_file(stem + "residual");
    const std::string task = test::read_file(stem + "task");
    ASSERT_EQ(task.size(), base.bytes.size());
    EXPECT_TRUE(decode_by_forms(copy_of(base), residual) == task);
    for (size_t size = 1; size < residual.size(); ++size)
      EXPECT_THROW(decode(copy_of(base), residual.substr(0, size)), Error) << size;
    EXPECT_LE(encode(copy_of(base), task).bytes.size(), residual.size());
  }
}

}  // namespace
}  // namespace wshare
