#include "bundle/distinct.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <vector>

#include "support/files.h"

namespace wshare {
namespace {

using test::noise;

constexpr size_t kMiB = size_t{1} << 20;

std::vector<Bytes> spans(const std::vector<std::string>& texts) {
  std::vector<Bytes> result;
  for (const std::string& text : texts) result.push_back(std::as_bytes(std::span(text)));
  return result;
}

// Everything that `contents` says, comparable.
using Summary =
    std::vector<std::tuple<std::string, const std::byte*, size_t, std::optional<uint32_t>>>;
Summary summary(const Contents& contents) {
  Summary result;
  for (const Content& each : contents.contents) {
    result.emplace_back(to_hex(each.hash), each.bytes.data(), each.bytes.size(), each.host);
  }
  return result;
}

std::string changed(std::string text, size_t at) {
  text[at] = static_cast<char>(text[at] ^ 1);
  return text;
}

// Equal, different, empty, prefix and nearly equal contents of many sizes.
std::vector<std::string> mixed_tensors() {
  const std::string large = noise(9 * kMiB, 1);
  return {large.substr(0, 5 * kMiB),
          large,
          noise(100, 2),
          "",
          large,
          changed(large, 9 * kMiB - 1),
          noise(100, 2),
          noise(2000, 3),
          "",
          large.substr(0, 4 * kMiB),
          noise(2000, 4),
          changed(large, 4 * kMiB).substr(0, 5 * kMiB)};
}

TEST(FindDistinct, GivesEqualBytesOneContentInTheOrderOfFirstUse) {
  const std::vector<std::string> texts = {"abc", "b", "abc", "", "b", ""};
  const Contents found = find_distinct(spans(texts), 1);
  EXPECT_EQ(found.of_tensor, (std::vector<uint32_t>{0, 1, 0, 2, 1, 2}));
  ASSERT_EQ(found.contents.size(), 3u);
  EXPECT_EQ(reinterpret_cast<const char*>(found.contents[0].bytes.data()), texts[0].data());
}

TEST(FindDistinct, TakesNoTensors) {
  const Contents found = find_distinct({}, 4);
  EXPECT_TRUE(found.contents.empty());
  EXPECT_TRUE(found.of_tensor.empty());
}

TEST(FindDistinct, HashesLikeContentHash) {
  const std::vector<std::string> texts = mixed_tensors();
  const std::vector<Bytes> tensors = spans(texts);
  const Contents found = find_distinct(tensors, 2);
  ASSERT_EQ(found.of_tensor.size(), tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    SCOPED_TRACE(i);
    const Content& content = found.contents.at(found.of_tensor[i]);
    EXPECT_EQ(content.hash, content_hash(tensors[i]));
    EXPECT_TRUE(std::ranges::equal(content.bytes, tensors[i]));
  }
}

TEST(FindDistinct, DoesNotDependOnTheNumberOfThreads) {
  const std::vector<std::string> texts = mixed_tensors();
  const Contents one = find_distinct(spans(texts), 1);
  const Contents four = find_distinct(spans(texts), 4);
  EXPECT_EQ(one.of_tensor, four.of_tensor);
  EXPECT_EQ(summary(one), summary(four));
}

TEST(FindDistinct, IsNotFooledByAFingerprintThatAlwaysCollides) {
  const std::vector<std::string> texts = mixed_tensors();
  const Contents honest = find_distinct(spans(texts), 2);
  const Contents collided = find_distinct(spans(texts), 2, {}, [](Bytes) { return uint64_t{7}; });
  EXPECT_EQ(collided.of_tensor, honest.of_tensor);
  EXPECT_EQ(summary(collided), summary(honest));
}

TEST(FindDistinct, TellsApartWhatDiffersInOneByte) {
  const std::string base = noise(9 * kMiB, 5);
  for (const size_t at :
       {size_t{0}, size_t{1023}, size_t{1024}, 4 * kMiB - 1, 4 * kMiB, 8 * kMiB, 9 * kMiB - 1}) {
    SCOPED_TRACE(at);
    const std::vector<std::string> texts = {base, changed(base, at), base};
    EXPECT_EQ(find_distinct(spans(texts), 2).of_tensor, (std::vector<uint32_t>{0, 1, 0}));
  }
}

TEST(FindDistinct, NamesTheHostOfAPrefix) {
  struct Case {
    const char* name;
    size_t front, whole;
  };
  for (const Case& c :
       {Case{"small", 1024, 2000}, Case{"one byte less", 4095, 4096},
        Case{"inside one leaf", kMiB, 2 * kMiB}, Case{"5 of 9 MiB", 5 * kMiB, 9 * kMiB},
        Case{"a whole leaf", 4 * kMiB, 9 * kMiB}, Case{"two whole leaves", 8 * kMiB, 9 * kMiB},
        Case{"one leaf and a byte", 4 * kMiB + 1, 5 * kMiB},
        Case{"leaf of a leaf and a byte", 4 * kMiB, 4 * kMiB + 1}}) {
    SCOPED_TRACE(c.name);
    const std::string whole = noise(c.whole, 6);
    const std::vector<std::string> texts = {whole.substr(0, c.front), whole};
    const Contents found = find_distinct(spans(texts), 2);
    ASSERT_EQ(found.contents.size(), 2u);
    EXPECT_EQ(found.contents[0].host, std::optional<uint32_t>(1));
    EXPECT_EQ(found.contents[1].host, std::nullopt);
    const std::vector<std::string> other = {changed(texts[0], c.front - 1), whole};
    EXPECT_EQ(find_distinct(spans(other), 2).contents[0].host, std::nullopt);
  }
}

TEST(FindDistinct, NamesTheLongestHost) {
  const std::string whole = noise(6000, 8);
  const std::vector<std::string> texts = {whole.substr(0, 2000), whole.substr(0, 4000), whole};
  const Contents found = find_distinct(spans(texts), 1);
  EXPECT_EQ(found.contents[0].host, std::optional<uint32_t>(2));
  EXPECT_EQ(found.contents[1].host, std::optional<uint32_t>(2));
}

TEST(FindDistinct, ComparesManyThatBeginAlikeInNearlyLinearTime) {
  constexpr size_t kCount = 4000;
  std::vector<std::string> texts;
  for (size_t i = 0; i < 2 * kCount; ++i) {
    std::string text(2000, '\0');
    const size_t number = i * 7919 % kCount;  // each content twice
    text[1900] = static_cast<char>(number);
    text[1901] = static_cast<char>(number >> 8);
    texts.push_back(std::move(text));
  }
  const Contents found = find_distinct(spans(texts), 2);
  EXPECT_EQ(found.contents.size(), kCount);
  for (size_t i = 0; i < texts.size(); ++i) EXPECT_EQ(found.of_tensor[i], i % kCount);
  for (const Content& each : found.contents) EXPECT_EQ(each.hash, content_hash(each.bytes));
  EXPECT_LT(found.comparisons, 200 * kCount);  // one by one: four million
}

TEST(FindDistinct, FindsTheHostsOfManyFrontsInNearlyLinearTime) {
  constexpr size_t kCount = 4000;
  const std::string whole = noise(1024 + kCount, 9);
  std::vector<std::string> texts;
  for (size_t i = 1; i <= kCount; ++i) texts.push_back(whole.substr(0, 1024 + i));
  for (size_t i = 1; i <= kCount; ++i) texts.push_back(changed(texts[i - 1], 1023 + i));
  const Contents found = find_distinct(spans(texts), 2);
  ASSERT_EQ(found.contents.size(), 2 * kCount);
  for (size_t i = 0; i < 2 * kCount; ++i) {
    SCOPED_TRACE(i);
    const bool has_host = i + 1 < kCount;
    EXPECT_EQ(found.contents[i].host,
              has_host ? std::optional<uint32_t>(kCount - 1) : std::nullopt);
  }
  EXPECT_LT(found.comparisons, 300 * kCount);
}

TEST(FindDistinct, ReportsEveryByteOnce) {
  const std::vector<std::string> texts = mixed_tensors();
  uint64_t total = 0;
  for (const std::string& text : texts) total += text.size();
  std::atomic<uint64_t> seen{0};
  (void)find_distinct(spans(texts), 4, [&](uint64_t bytes) { seen += bytes; });
  EXPECT_EQ(seen, total);
}

}  // namespace
}  // namespace wshare
