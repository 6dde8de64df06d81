#include "format/codec/quantised.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "format/dtype.h"
#include "format/floats.h"
#include "format/manifest/manifest.h"
#include "format/manifest/text.h"
#include "support/bytes.h"
#include "support/errors.h"
#include "wshare/error.h"

namespace wshare {
namespace {

using test::append_to;
using test::bytes_as;
using test::bytes_of;
using test::hash_of;
using test::HeldMatrix;
using test::message_of;
using test::random_matrix;
using test::values_of;

constexpr int32_t kUint8 = 2, kInt8 = 3, kInt16 = 5, kInt32 = 6, kUint4 = 21, kInt4 = 22;

// A quantised tensor with what it is made of.
struct Held {
  Quantisation how;
  int32_t dtype = kInt8;
  std::vector<int64_t> shape;
  HeldMatrix base;
  bool transposed = false;
  std::string scale, zero;
  int32_t zero_dtype = 0;

  QuantisedPrediction prediction() const {
    QuantisedPrediction result;
    result.quantisation = how;
    result.layout = layout_of(dtype, shape, how);
    result.base = transposed ? transpose_of(base.view()) : base.view();
    result.scale = {bytes_of(scale), kFloat32};
    if (!zero.empty()) result.zero = NumberView{bytes_of(zero), zero_dtype};
    return result;
  }
  std::string predict(const std::string& residual = "") const {
    std::string out;
    decode_quantised(prediction(), bytes_of(residual), append_to(out));
    return out;
  }
};

std::string scales_of(size_t count) {
  std::vector<double> scales;
  for (size_t i = 0; i < count; ++i) scales.push_back(0.004 + 0.0001 * static_cast<double>(i % 37));
  return bytes_as(scales, kFloat32);
}

Held per_tensor(const std::vector<double>& values, double scale) {
  Held held;
  held.shape = {static_cast<int64_t>(values.size())};
  held.base = {bytes_as(values, kFloat32), kFloat32, values.size(), 1};
  held.scale = bytes_as({scale}, kFloat32);
  return held;
}

// Written down by hand; docs/bundle-format.md has the same.
TEST(Quantised, RoundsAsItsRuleSays) {
  const std::vector<double> values = {0.25, 0.75, -0.25, -0.75, 1.1, 100, -100, 0};
  Held held = per_tensor(values, 0.5);
  EXPECT_EQ(held.predict(), std::string("\0\2\0\xfe\2\x7f\x80\0", 8));
  held.how.away = true;
  EXPECT_EQ(held.predict(), std::string("\1\2\xff\xfe\2\x7f\x80\0", 8));
  held.how.low = -127;
  held.how.zero = 1;
  EXPECT_EQ(held.predict(), std::string("\2\3\0\xff\3\x7f\x81\1", 8));
  held.how.zero_before = true;  // 1.5 and 0.5 instead of 0.5 and -0.5
  EXPECT_EQ(held.predict(), std::string("\2\3\1\xff\3\x7f\x81\1", 8));
}

TEST(Quantised, TellsDivisionFromTheReciprocal) {
  // 1.5 / 0.1 is 15 in float32, 1.5 * (1 / 0.1) too; 0.35 / 0.1 is 3.5 and 3.4999998.
  std::mt19937 random(1);
  size_t differ = 0;
  for (int i = 0; i < 2000; ++i) {
    const float scale = 0.001F + static_cast<float>(random() % 1000) * 1e-5F;
    const float value = scale * (static_cast<float>(random() % 40) + 0.5F);
    Held held = per_tensor({value}, scale);
    const float divided = value / scale, multiplied = value * (1 / scale);
    const std::string by_division = held.predict();
    held.how.by_reciprocal = true;
    const std::string by_reciprocal = held.predict();
    EXPECT_EQ(by_division[0], static_cast<char>(std::nearbyintf(divided)));
    EXPECT_EQ(by_reciprocal[0], static_cast<char>(std::nearbyintf(multiplied)));
    held.how.in_double = true;
    held.how.by_reciprocal = false;
    EXPECT_EQ(held.predict()[0],
              static_cast<char>(std::nearbyint(static_cast<double>(value) / scale)));
    differ += by_division != by_reciprocal ? 1 : 0;
  }
  EXPECT_GT(differ, 10U);
}

TEST(Quantised, MakesNumbersOfWhatIsNone) {
  Held held = per_tensor({NAN, INFINITY, -INFINITY, 0, 1}, 0);
  EXPECT_EQ(held.predict(), std::string("\x80\x7f\x80\x80\x7f", 5));  // 0 / 0, 1 / 0
  held.how.by_reciprocal = true;
  EXPECT_EQ(held.predict(), std::string("\x80\x80\x80\0\0", 5));
}

// The other way to find the scale of an element: by its indices.
TEST(Quantised, FindsTheScaleOfEachElement) {
  const std::vector<int64_t> shape = {6, 10, 7};
  const HeldMatrix base = random_matrix(6, 70, kFloat32, 3);
  const std::vector<double> values = values_of(base.bytes, kFloat32);
  for (const int64_t block : {0, 1, 3, 4}) {
    for (uint64_t axis = 0; axis < 3; ++axis) {
      SCOPED_TRACE(std::to_string(block) + ", axis " + std::to_string(axis));
      Held held{{}, kInt8, shape, base, false, "", "", kInt8};
      held.how.axis = axis;
      held.how.block = static_cast<uint64_t>(block);
      const size_t scales = layout_of(kInt8, shape, held.how).scales;
      held.scale = scales_of(scales);
      for (size_t i = 0; i < scales; ++i) held.zero += static_cast<char>(i % 5);
      const std::vector<double> scale = values_of(held.scale, kFloat32);
      const std::string predicted = held.predict();
      for (size_t e = 0; e < values.size(); ++e) {
        const size_t index[] = {e / 70, e / 7 % 10, e % 7};
        size_t number = index[axis];
        if (block != 0) {
          number = 0;
          for (size_t d = 0; d < 3; ++d) {
            const auto length = static_cast<size_t>(shape[d]);
            const auto by = static_cast<size_t>(block);
            number = d == axis ? number * ((length + by - 1) / by) + index[d] / by
                               : number * length + index[d];
          }
        }
        const float quotient = static_cast<float>(values[e]) / static_cast<float>(scale[number]);
        const double expected = std::clamp(
            std::nearbyint(static_cast<double>(quotient)) + held.zero[number], -128.0, 127.0);
        ASSERT_EQ(static_cast<int8_t>(predicted[e]), expected) << e;
      }
    }
  }
}

// As MatMulNBits has it: [n, blocks, bytes], zero points of a row in whole bytes, a base [k, n].
Held packed(uint64_t n, uint64_t k, uint64_t block, int bits, bool with_zeros) {
  const uint64_t blocks = (k + block - 1) / block;
  const auto in_byte = static_cast<uint64_t>(8 / bits);
  Held held;
  held.dtype = kUint8;
  held.shape = {static_cast<int64_t>(n), static_cast<int64_t>(blocks),
                static_cast<int64_t>(block / in_byte)};
  held.how.packed_bits = bits;
  held.how.block = block;
  held.how.columns = k;
  held.how.zero = int64_t{1} << (bits - 1);
  held.how.by_reciprocal = held.how.zero_before = held.how.away = true;
  held.base = random_matrix(k, n, kFloat32, 5, 0.01);
  held.transposed = true;
  held.scale = scales_of(n * blocks);
  if (!with_zeros) return held;
  held.zero_dtype = kUint8;
  std::mt19937 random(7);
  for (uint64_t i = 0; i < n * ((blocks + in_byte - 1) / in_byte); ++i)
    held.zero += static_cast<char>(random());
  return held;
}

TEST(Quantised, ReadsPackedRows) {
  for (const int bits : {2, 4, 8}) {
    for (const bool with_zeros : {false, true}) {
      SCOPED_TRACE(std::to_string(bits) + " bits");
      const Held held = packed(5, 83, 16, bits, with_zeros);  // 6 blocks of 16: 13 of padding
      const std::vector<double> base = values_of(held.base.bytes, kFloat32);
      const std::vector<double> scale = values_of(held.scale, kFloat32);
      const std::string predicted = held.predict();
      ASSERT_EQ(predicted.size(), 5 * 96 * static_cast<size_t>(bits) / 8);
      const auto in_byte = static_cast<size_t>(8 / bits);
      const int mask = (1 << bits) - 1;
      const auto packed_at = [&](const std::string& bytes, size_t at) {
        const int byte = static_cast<unsigned char>(bytes[at / in_byte]);
        return byte >> (static_cast<int>(at % in_byte) * bits) & mask;
      };
      for (size_t row = 0; row < 5; ++row) {
        for (size_t col = 0; col < 96; ++col) {
          int expected = 0;
          if (col < 83) {
            const size_t row_bytes = (6 + in_byte - 1) / in_byte;
            const int zero = with_zeros ? packed_at(held.zero.substr(row * row_bytes), col / 16)
                                        : 1 << (bits - 1);
            const float s = static_cast<float>(scale[row * 6 + col / 16]);
            const float value = static_cast<float>(base[col * 5 + row]) * (1 / s);
            expected = static_cast<int>(
                std::clamp(std::round(static_cast<double>(value + static_cast<float>(zero))), 0.0,
                           static_cast<double>(mask)));
          }
          ASSERT_EQ(packed_at(predicted, row * 96 + col), expected) << row << " " << col;
        }
      }
    }
  }
}

// `predicted` with some elements changed.
std::string damaged(std::string bytes, uint32_t seed, size_t every) {
  std::mt19937 random(seed);
  for (char& byte : bytes) {
    if (random() % every == 0) byte = static_cast<char>(random());
  }
  return bytes;
}

TEST(Quantised, ComesBackFromItsResidual) {
  std::vector<Held> all = {packed(300, 1000, 32, 4, true), packed(9, 40, 16, 2, false)};
  for (const int32_t dtype : {kUint8, kInt8, kInt16, kInt32, kUint4, kInt4}) {
    Held held{{}, dtype, {350, 801}, random_matrix(350, 801, kFloat32, 9), false, "", "", 0};
    held.how.axis = 1;
    held.scale = scales_of(801);
    all.push_back(held);
  }
  for (const Held& held : all) {
    SCOPED_TRACE(dtype_name(held.dtype));
    const std::string predicted = held.predict();
    for (const size_t every : {size_t{1}, size_t{100}, size_t{100000}}) {
      std::string actual = damaged(predicted, 11, every), code;
      if (held.dtype == kUint4 || held.dtype == kInt4) {  // 350 * 801 elements: no bits are left
        ASSERT_EQ(350 * 801 % 2, 0);
      }
      const QuantisedReport report =
          encode_quantised(held.prediction(), bytes_of(actual), append_to(code));
      EXPECT_EQ(report.coded_bytes, code.size());
      EXPECT_EQ(held.predict(code) == actual, true);
      EXPECT_EQ(report.wrong == 0, actual == predicted);
      EXPECT_LT(code.size(), actual.size() * 6 / every + actual.size() / 500 + 1000);
      if (code.empty()) continue;
      for (size_t size : {size_t{1}, size_t{5}, code.size() / 2, code.size() - 1})
        EXPECT_THROW(held.predict(code.substr(0, size)), Error) << size;
      EXPECT_THROW(held.predict(code + "x"), Error);
    }
    std::string code;
    EXPECT_EQ(encode_quantised(held.prediction(), bytes_of(predicted), append_to(code)).wrong, 0U);
    EXPECT_EQ(code, "");
  }
}

TEST(Quantised, RefusesBitsBehindTheLastElement) {
  Held held = per_tensor({1, 2, 3}, 1);
  held.dtype = kInt4;
  EXPECT_EQ(held.predict(), "\x21\x03");
  std::string code;
  EXPECT_EQ(message_of([&] {
              encode_quantised(held.prediction(), bytes_of("\x21\x13"), append_to(code));
            }),
            "residual of integers: bits after its last element are set");
}

TEST(Quantised, RefusesWhatContradictsItself) {
  const std::vector<int64_t> shape = {4, 6};
  const auto message = [&](int32_t dtype, const Quantisation& how) {
    return message_of([&] { layout_of(dtype, shape, how); });
  };
  EXPECT_EQ(message(kFloat32, {}),
            "quantised: the elements of float32 are no integers of a known width");
  EXPECT_EQ(message(kInt8, {.axis = 2}), "quantised: it has no axis 2");
  EXPECT_EQ(message(kInt8, {.block = 2}), "quantised: a block needs an axis");
  EXPECT_EQ(message(kInt8, {.columns = 2}),
            "quantised: only packed rows have columns that their base lacks");
  EXPECT_EQ(message(kInt8, {.block = 16, .packed_bits = 4}),
            "quantised: packed elements need uint8, a dimension, a block and no axis");
  EXPECT_EQ(message(kUint8, {.block = 16, .packed_bits = 3}),
            "quantised: elements of 3 bits are never packed");
  EXPECT_EQ(message(kUint8, {.block = 16, .packed_bits = 4, .columns = 13}),
            "quantised: its base has more columns than it");
  EXPECT_EQ(message(kInt8, {.low = -129}), "quantised: its limits are none of its type");
  EXPECT_EQ(message(kInt8, {.low = 5, .high = 4}), "quantised: its limits are none of its type");
  EXPECT_EQ(message(kInt8, {.through = kInt8}),
            "quantised: its base is rounded to int8, which is no float");
  EXPECT_EQ(message_of([&] {
              const int64_t huge[] = {int64_t{1} << 62, 4};
              layout_of(kUint8, huge, {.block = 16, .packed_bits = 2});
            }),
            "quantised: its shape is too large");
}

// A model's weight and a task that has it as int8.
Manifest quantised_manifest() {
  Manifest manifest;
  manifest.blobs = {{"weights.bin", 8192}, {"records.bin", 50}, {"t.residual", 100, hash_of("r")}};
  ModelRecord model;
  model.name = "a";
  model.file = "a.onnx";
  model.tensors = {{"", "w", {2, 3}, {0, 64, 24}, hash_of("w"), 1, false}};
  manifest.models.push_back(model);
  TaskRecord task;
  task.name = "t";
  task.base = "a";
  task.source = SourceRecord{"", "t.onnx", 98, hash_of("graph"), {1, 0, 20}, hash_of("record"), {}};
  DerivationRecord derivation;
  derivation.base = MatrixRecord{{0, 64, 24}, 1, true};
  QuantisedRecord quantised{{{0, 128, 12}, 1, false}, MatrixRecord{{0, 192, 3}, kInt8, false}, {}};
  quantised.how = {.axis = 1,
                   .low = -127,
                   .high = 126,
                   .by_reciprocal = true,
                   .zero_before = true,
                   .away = true,
                   .in_double = true,
                   .through = kFloat16};
  derivation.quantised = quantised;
  derivation.residual = {2, 0, 100};
  task.tensors = {{"", "v", kInt8, {2, 3}, hash_of("v"), std::nullopt, derivation}};
  manifest.tasks.push_back(task);
  return manifest;
}

TEST(QuantisedRecord, StandsInTheManifest) {
  Manifest manifest = quantised_manifest();
  const std::string text = to_json(manifest);
  EXPECT_NE(text.find("\"version\": 6,"), std::string::npos);
  const Manifest read = parse_manifest(text);
  EXPECT_EQ(to_json(read), text);
  const DerivationRecord& derived = *read.tasks[0].tensors[0].derivation;
  EXPECT_EQ(derived.quantised->how, manifest.tasks[0].tensors[0].derivation->quantised->how);
  EXPECT_EQ(derived.quantised->zero->extent, (Extent{0, 192, 3}));
  OriginalTensor& tensor = manifest.tasks[0].tensors[0];
  tensor.dtype = kUint8;
  tensor.shape = std::vector<int64_t>{2, 16};
  tensor.derivation->quantised->how = {.block = 16, .packed_bits = 4, .columns = 3, .zero = -8};
  tensor.derivation->quantised->zero = std::nullopt;
  tensor.derivation->quantised->scale.extent.size = 16;
  const Manifest other = parse_manifest(to_json(manifest));
  EXPECT_EQ(other.tasks[0].tensors[0].derivation->quantised->how,
            tensor.derivation->quantised->how);
}

TEST(QuantisedRecord, IsRefusedWhereItDoesNotFit) {
  const auto message = [](const std::function<void(DerivationRecord&)>& change) {
    Manifest manifest = quantised_manifest();
    change(*manifest.tasks[0].tensors[0].derivation);
    return message_of([&] { parse_manifest(to_json(manifest)); });
  };
  EXPECT_EQ(message([](DerivationRecord&) {}), "no Error");
  EXPECT_EQ(message([](DerivationRecord& d) { d.quantised->scale.extent.size = 8; }),
            "tensor 'v': its scale has 8 bytes of float32, not what its shape "
            "needs");
  EXPECT_NE(message([](DerivationRecord& d) { d.quantised->zero->extent.size = 2; }).find("zero"),
            std::string::npos);
  EXPECT_NE(message([](DerivationRecord& d) { d.base->extent.size = 20; }).find("its base has 20"),
            std::string::npos);
  EXPECT_NE(message([](DerivationRecord& d) { d.multiplier = 2; }).find("no multiplier"),
            std::string::npos);
  EXPECT_NE(message([](DerivationRecord& d) { d.quantised->how.axis = 7; }).find("no axis 7"),
            std::string::npos);
  EXPECT_NE(message([](DerivationRecord& d) {
              d.quantised->scale.extent.offset = 8190;
            }).find("leaves 'weights.bin'"),
            std::string::npos);
}

}  // namespace
}  // namespace wshare
