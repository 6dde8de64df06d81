#include <gtest/gtest.h>

#include "lora/peft.h"
#include "support/errors.h"
#include "support/files.h"

namespace wshare::test {
namespace {

LoraFactors factors(const std::string& path, std::vector<int64_t> a, std::vector<int64_t> b,
                    const std::string& bytes, bool embedding = false) {
  LoraFactors result{path, embedding, {"", 1, std::move(a), {}}, {"", 1, std::move(b), {}}};
  const std::span<const std::byte> all = std::as_bytes(std::span(bytes));
  result.a.bytes = all.first(needed_bytes(result.a));
  result.b.bytes = all.last(needed_bytes(result.b));
  return result;
}

const std::string kNoise = noise(1024, 3);

TEST(WritePeftAdapter, IsReadBackTransposedWithScaleOne) {
  const TempFolder folder;
  const std::vector<LoraFactors> modules = {factors("l.1.q", {5, 3}, {3, 7}, kNoise),
                                            factors("c", {2, 3, 2, 2}, {4, 2, 1, 1}, kNoise),
                                            factors("e", {9, 1}, {1, 4}, kNoise, true)};
  write_peft_adapter(folder.path(), modules, "the base");
  const PeftAdapter got = load_peft_adapter(folder.path());
  EXPECT_EQ(got.config.base_model, "the base");
  ASSERT_EQ(got.content.modules.size(), 3u);
  for (const PeftModule& each : got.content.modules) EXPECT_EQ(each.scaling, 1);
  const PeftModule &c = got.content.modules[0], &e = got.content.modules[1],
                   &q = got.content.modules[2];
  EXPECT_EQ(q.path, "l.1.q");
  EXPECT_EQ(q.rank, 3);
  EXPECT_EQ(q.a.shape, (std::vector<int64_t>{3, 5}));
  EXPECT_EQ(q.b.shape, (std::vector<int64_t>{7, 3}));
  for (size_t i = 0; i < 5; ++i) {
    for (size_t r = 0; r < 3; ++r) {
      EXPECT_EQ(text_of(q.a.bytes).substr((r * 5 + i) * 4, 4),
                text_of(modules[0].a.bytes).substr((i * 3 + r) * 4, 4));
    }
  }
  EXPECT_TRUE(e.embedding);
  EXPECT_EQ(e.a.shape, (std::vector<int64_t>{1, 9}));
  EXPECT_EQ(e.b.shape, (std::vector<int64_t>{4, 1}));
  EXPECT_EQ(c.a.shape, (std::vector<int64_t>{2, 3, 2, 2}));
  EXPECT_EQ(text_of(c.a.bytes), text_of(modules[1].a.bytes));
}

TEST(WritePeftAdapter, WritesTheSameBytesForAnyOrder) {
  const TempFolder one, other;
  std::vector<LoraFactors> modules = {factors("a", {5, 3}, {3, 7}, kNoise),
                                      factors("b", {5, 2}, {2, 7}, kNoise)};
  write_peft_adapter(one.path(), modules, "");
  std::swap(modules[0], modules[1]);
  write_peft_adapter(other.path(), modules, "");
  EXPECT_EQ(files_in(one.path()), files_in(other.path()));
  EXPECT_EQ(names_in(one.path()),
            (std::vector<std::string>{"adapter_config.json", "adapter_model.safetensors"}));
}

TEST(WritePeftAdapter, TransposesElementsOfAnySize) {
  const std::string bytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUV";  // 48
  for (const size_t size : {1u, 2u, 4u, 8u}) {
    SCOPED_TRACE(size);
    const std::vector<std::byte> got =
        transposed(std::as_bytes(std::span(bytes)).first(6 * size), 2, 3, size);
    std::string expected;
    for (const size_t from : {0u, 3u, 1u, 4u, 2u, 5u}) expected += bytes.substr(from * size, size);
    EXPECT_EQ(text_of(got), expected);
  }
}

TEST(WritePeftAdapter, WritesNothingThatDoesNotFit) {
  struct Case {
    const char* name;
    std::vector<LoraFactors> modules;
  };
  LoraFactors half = factors("x", {5, 3}, {3, 7}, kNoise);
  half.a.dtype = 10;
  LoraFactors cut = factors("x", {5, 3}, {3, 7}, kNoise);
  cut.b.bytes = cut.b.bytes.first(4);
  for (const Case& c :
       {Case{"no path", {factors("", {5, 3}, {3, 7}, kNoise)}},
        Case{"a path twice",
             {factors("x", {5, 3}, {3, 7}, kNoise), factors("x", {5, 3}, {3, 7}, kNoise)}},
        Case{"inner sizes that differ", {factors("x", {5, 3}, {2, 7}, kNoise)}},
        Case{"rank 0", {factors("x", {5, 0}, {0, 7}, kNoise)}},
        Case{"a vector", {factors("x", {5}, {5, 7}, kNoise)}}, Case{"two types", {half}},
        Case{"too few bytes", {cut}}}) {
    SCOPED_TRACE(c.name);
    const TempFolder folder;
    EXPECT_NE(message_of([&] { write_peft_adapter(folder.path(), c.modules, ""); }), "no Error");
    EXPECT_TRUE(names_in(folder.path()).empty());
  }
}

}  // namespace
}  // namespace wshare::test
