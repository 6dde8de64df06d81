#include "run/parity.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "run/graphs.h"

namespace wshare::test {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr auto kFloat = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
constexpr auto kInt64 = ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64;

ParityRow compare(Ort::Value ours, Ort::Value theirs) {
  std::vector<Ort::Value> a, b;
  a.push_back(std::move(ours));
  b.push_back(std::move(theirs));
  const std::vector<ParityRow> rows = compare_outputs("m", {"y"}, a, b);
  EXPECT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows.at(0).model, "m");
  EXPECT_EQ(rows.at(0).output, "y");
  return rows.at(0);
}

template <typename T>
ParityRow compare(ONNXTensorElementDataType type, const std::vector<T>& a,
                  const std::vector<T>& b) {
  return compare(value_of(type, {static_cast<int64_t>(a.size())}, raw_of(a)),
                 value_of(type, {static_cast<int64_t>(b.size())}, raw_of(b)));
}

template <typename T>
void expect_difference(const char* name, ONNXTensorElementDataType type, const std::vector<T>& a,
                       const std::vector<T>& b, double difference) {
  SCOPED_TRACE(name);
  const ParityRow equal = compare(type, a, a);
  EXPECT_TRUE(equal.bit_equal);
  EXPECT_EQ(equal.max_abs_diff, 0);
  for (const ParityRow& row : {compare(type, a, b), compare(type, b, a)}) {
    EXPECT_FALSE(row.bit_equal);
    EXPECT_EQ(row.max_abs_diff, difference);
  }
}

TEST(CompareOutputs, TakesTheLargestDifferenceOfEachType) {
  expect_difference<float>("float32", kFloat, {1, -2, 3}, {1.5, -2, 2.75}, 0.5);
  expect_difference<double>("float64", ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE, {1, 0}, {1, 0x1p-60},
                            0x1p-60);
  expect_difference<uint16_t>("float16", ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16,
                              {Ort::Float16_t(1.5F).val}, {Ort::Float16_t(-2.0F).val}, 3.5);
  expect_difference<uint16_t>("bfloat16", ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16,
                              {Ort::BFloat16_t(1.5F).val}, {Ort::BFloat16_t(-2.0F).val}, 3.5);
  expect_difference<uint8_t>("bool", ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL, {1, 0}, {1, 1}, 1);
  expect_difference<uint8_t>("uint8", ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8, {255}, {0}, 255);
  expect_difference<int8_t>("int8", ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8, {-128}, {127}, 255);
  expect_difference<uint16_t>("uint16", ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16, {65535}, {1}, 65534);
  expect_difference<int16_t>("int16", ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16, {-2}, {3}, 5);
  expect_difference<uint32_t>("uint32", ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32, {0}, {~0U},
                              0xffffffff);
  expect_difference<int32_t>("int32", ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32, {-7}, {-9}, 2);
  expect_difference<uint64_t>("uint64", ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64, {~uint64_t{0}}, {0},
                              0x1p64);
}

TEST(CompareOutputs, TellsLargeIntegersApart) {
  constexpr int64_t kLarge = int64_t{1} << 53;  // as doubles, this and its successor are equal
  expect_difference<int64_t>("int64", kInt64, {kLarge}, {kLarge + 1}, 1);
  expect_difference<int64_t>("ends", kInt64, {std::numeric_limits<int64_t>::min()},
                             {std::numeric_limits<int64_t>::max()}, 0x1p64);
}

TEST(CompareOutputs, GivesInfinityWhereThereIsNoDifferenceToTake) {
  const auto floats_of = [](const std::vector<float>& values) {
    return value_of(kFloat, {static_cast<int64_t>(values.size())}, raw_of(values));
  };
  const float infinity = std::numeric_limits<float>::infinity();
  expect_difference<float>("NaN and a number", kFloat, {kNan, 1}, {0, 1}, kInfinity);
  expect_difference<float>("infinities", kFloat, {infinity}, {-infinity}, kInfinity);
  struct Case {
    const char* name;
    Ort::Value other;
  };
  Case cases[] = {
      {"other size", floats_of({1, 2, 3})},
      {"other shape", value_of(kFloat, {1, 2}, raw_of<float>({1, 2}))},
      {"other type", value_of(ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32, {2}, raw_of<float>({1, 2}))}};
  for (Case& c : cases) {
    SCOPED_TRACE(c.name);
    const ParityRow row = compare(floats_of({1, 2}), std::move(c.other));
    EXPECT_FALSE(row.bit_equal);
    EXPECT_EQ(row.max_abs_diff, kInfinity);
  }
}

TEST(CompareOutputs, ComparesBitsNotNumbers) {
  EXPECT_TRUE(compare<float>(kFloat, {kNan}, {kNan}).bit_equal);
  const ParityRow zeros = compare<float>(kFloat, {0.0F}, {-0.0F});
  EXPECT_FALSE(zeros.bit_equal);
  EXPECT_EQ(zeros.max_abs_diff, 0);
  EXPECT_TRUE(compare<float>(kFloat, {}, {}).bit_equal);
}

Ort::Value strings(const std::vector<const char*>& texts) {
  Ort::AllocatorWithDefaultOptions allocator;
  const int64_t count = static_cast<int64_t>(texts.size());
  Ort::Value value =
      Ort::Value::CreateTensor(allocator, &count, 1, ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING);
  value.FillStringTensor(texts.data(), texts.size());
  return value;
}

TEST(CompareOutputs, ComparesStrings) {
  EXPECT_TRUE(compare(strings({"a", "bc", ""}), strings({"a", "bc", ""})).bit_equal);
  const ParityRow row = compare(strings({"a", "bc"}), strings({"a", "bd"}));
  EXPECT_FALSE(row.bit_equal);
  EXPECT_EQ(row.max_abs_diff, kInfinity);
  EXPECT_FALSE(compare(strings({"a"}), strings({"a", "b"})).bit_equal);
}

Ort::Value sequence(const std::vector<std::vector<float>>& parts) {
  std::vector<Ort::Value> values;
  for (const std::vector<float>& part : parts)
    values.push_back(value_of(kFloat, {static_cast<int64_t>(part.size())}, raw_of(part)));
  return Ort::Value::CreateSequence(values);
}

TEST(CompareOutputs, ComparesSequencesPartByPart) {
  EXPECT_TRUE(compare(sequence({{1, 2}, {3}}), sequence({{1, 2}, {3}})).bit_equal);
  const ParityRow row = compare(sequence({{1, 2}, {3}}), sequence({{1, 2.25}, {7}}));
  EXPECT_FALSE(row.bit_equal);
  EXPECT_EQ(row.max_abs_diff, 4);
  EXPECT_EQ(compare(sequence({{1}}), sequence({{1}, {1}})).max_abs_diff, kInfinity);
  EXPECT_EQ(compare(sequence({{1}}), value_of(kFloat, {1}, raw_of<float>({1}))).max_abs_diff,
            kInfinity);
}

TEST(CompareOutputs, MissesNoOutput) {
  std::vector<Ort::Value> one;
  one.push_back(value_of(kFloat, {1}, raw_of<float>({1})));
  const std::vector<ParityRow> rows = compare_outputs("m", {"y", "z"}, one, one);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_TRUE(rows[0].bit_equal);
  EXPECT_FALSE(rows[1].bit_equal);
}

}  // namespace
}  // namespace wshare::test
