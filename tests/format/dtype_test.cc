#include "format/dtype.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

namespace wshare {
namespace {

constexpr int64_t kMax = std::numeric_limits<int64_t>::max();

TEST(FindDtype, GivesTheSameByCodeAndByName) {
  int known = 0;
  for (int32_t code = -1; code < 100; ++code) {
    const std::optional<Dtype> dtype = find_dtype(code);
    if (!dtype) continue;
    SCOPED_TRACE(code);
    ++known;
    EXPECT_EQ(dtype->code, code);
    const std::optional<Dtype> by_name = find_dtype(dtype->name);
    ASSERT_TRUE(by_name.has_value());
    EXPECT_EQ(by_name->code, code);
    EXPECT_EQ(dtype->bits == 0, code == kStringCode);
  }
  EXPECT_GE(known, 23);
}

TEST(FindDtype, KnowsNothingElse) {
  for (const int32_t code :
       {0, -1, 1000, std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max()}) {
    EXPECT_FALSE(find_dtype(code).has_value()) << code;
  }
  for (const char* name : {"", "float", "Float32", "float32 "}) {
    EXPECT_FALSE(find_dtype(std::string_view(name)).has_value()) << name;
  }
}

TEST(FindDtype, FollowsOnnxProto) {
  struct Case {
    int32_t code;
    std::string_view name;
    int bits;
    TypedField field;
  };
  for (const Case& c :
       {Case{1, "float32", 32, TypedField::kFloat}, Case{7, "int64", 64, TypedField::kInt64},
        Case{9, "bool", 8, TypedField::kInt32}, Case{10, "float16", 16, TypedField::kInt32},
        Case{11, "float64", 64, TypedField::kDouble}, Case{12, "uint32", 32, TypedField::kUint64},
        Case{15, "complex128", 128, TypedField::kDouble},
        Case{16, "bfloat16", 16, TypedField::kInt32}, Case{22, "int4", 4, TypedField::kInt32}}) {
    SCOPED_TRACE(c.name);
    const std::optional<Dtype> dtype = find_dtype(c.code);
    ASSERT_TRUE(dtype.has_value());
    EXPECT_EQ(dtype->name, c.name);
    EXPECT_EQ(dtype->bits, c.bits);
    EXPECT_EQ(dtype->typed_field, c.field);
  }
}

TEST(ElementCount, MultipliesWithoutOverflow) {
  struct Case {
    const char* name;
    std::vector<int64_t> shape;
    std::optional<uint64_t> expected;
  };
  for (const Case& c :
       {Case{"scalar", {}, 1}, Case{"matrix", {3, 4}, 12}, Case{"empty", {3, 0, 4}, 0},
        Case{"largest", {kMax}, static_cast<uint64_t>(kMax)}, Case{"negative", {-1}, std::nullopt},
        Case{"two negatives", {-2, -3}, std::nullopt},
        Case{"negative beside zero", {0, -1}, std::nullopt},
        Case{"smallest", {std::numeric_limits<int64_t>::min()}, std::nullopt},
        Case{"2^63", {int64_t{1} << 62, 2}, std::nullopt},
        Case{"wraps to zero", {int64_t{1} << 32, int64_t{1} << 32}, std::nullopt},
        Case{"wraps to small", {kMax, 3}, std::nullopt}}) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(element_count(c.shape), c.expected);
  }
}

TEST(ByteSize, RoundsSubByteTypesUpToWholeBytes) {
  struct Case {
    std::string_view dtype;
    std::vector<int64_t> shape;
    std::optional<uint64_t> expected;
  };
  for (const Case& c : {Case{"float32", {}, 4},
                        Case{"float32", {2, 3}, 24},
                        Case{"bool", {5}, 5},
                        Case{"complex128", {2}, 32},
                        Case{"int4", {0}, 0},
                        Case{"int4", {1}, 1},
                        Case{"int4", {2}, 1},
                        Case{"int4", {3}, 2},
                        Case{"int4", {3, 3}, 5},
                        Case{"uint2", {1}, 1},
                        Case{"uint2", {4}, 1},
                        Case{"uint2", {5}, 2},
                        Case{"float4e2m1", {7}, 4},
                        Case{"string", {5}, 0},
                        Case{"float32", {-1}, std::nullopt},
                        Case{"float32", {0, -1}, std::nullopt},
                        Case{"uint8", {kMax, 2}, std::nullopt},
                        Case{"float64", {kMax}, std::nullopt},
                        Case{"complex128", {int64_t{1} << 57}, std::nullopt},
                        Case{"float32", {kMax, 0}, 0}}) {
    SCOPED_TRACE(std::string(c.dtype) +
                 (c.shape.empty() ? "" : " of " + std::to_string(c.shape[0])));
    const std::optional<Dtype> dtype = find_dtype(c.dtype);
    ASSERT_TRUE(dtype.has_value());
    EXPECT_EQ(byte_size(*dtype, c.shape), c.expected);
  }
}

}  // namespace
}  // namespace wshare
