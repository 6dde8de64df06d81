#include "util/content_hash.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "support/bytes.h"
#include "wshare/error.h"

namespace wshare {
namespace {

using test::bytes_of;

std::vector<std::byte> pattern(size_t size) {
  std::vector<std::byte> bytes(size);
  uint64_t state = 88172645463325252ULL;
  for (std::byte& byte : bytes) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    byte = static_cast<std::byte>(state >> 56);
  }
  return bytes;
}

constexpr size_t kLeaf = kHashLeafBytes;

const std::vector<size_t>& sizes_around_a_leaf() {
  static const std::vector<size_t> sizes = {
      0, 1, 255, kLeaf - 1, kLeaf, kLeaf + 1, 2 * kLeaf, 2 * kLeaf + 1, 3 * kLeaf + 12345};
  return sizes;
}

TEST(ContentHash, GivesTheKnownAnswersInBigEndianHex) {
  EXPECT_EQ(to_hex(content_hash(bytes_of(""))), "99aa06d3014798d86001c324468d497f");
  EXPECT_EQ(to_hex(content_hash(bytes_of("abc"))), "06b05ab6733a618578af5f94892f3950");
}

TEST(ContentHash, DoesNotDependOnTheThreads) {
  for (const size_t size : sizes_around_a_leaf()) {
    SCOPED_TRACE(size);
    const std::vector<std::byte> content = pattern(size);
    const ContentHash expected = content_hash(content);
    for (const unsigned threads : {1U, 2U, 3U, 16U}) {
      EXPECT_EQ(content_hash(content, threads), expected) << threads << " threads";
    }
  }
}

TEST(ContentHash, DiffersForAPrefixOfZeros) {
  const std::vector<std::byte> zeros(2 * kLeaf + 1);
  std::set<ContentHash> hashes;
  for (const size_t size : {size_t{0}, size_t{1}, kLeaf, kLeaf + 1, 2 * kLeaf, 2 * kLeaf + 1}) {
    EXPECT_TRUE(hashes.insert(content_hash(std::span(zeros).first(size))).second) << size;
  }
}

TEST(ContentHash, ChangesWithOneBitOfAnyLeaf) {
  std::vector<std::byte> content = pattern(2 * kLeaf + 3);
  const ContentHash before = content_hash(content);
  for (const size_t at : {size_t{0}, kLeaf - 1, kLeaf, 2 * kLeaf + 2}) {
    SCOPED_TRACE(at);
    content[at] ^= std::byte{1};
    EXPECT_NE(content_hash(content), before);
    content[at] ^= std::byte{1};
  }
  EXPECT_EQ(content_hash(content), before);
}

TEST(ContentHash, DependsOnTheOrderOfTheLeaves) {
  std::vector<std::byte> content = pattern(2 * kLeaf);
  const ContentHash before = content_hash(content);
  std::rotate(content.begin(), content.begin() + static_cast<std::ptrdiff_t>(kLeaf), content.end());
  EXPECT_NE(content_hash(content), before);
}

TEST(CombineLeaves, GivesTheHashOfTheWhole) {
  for (const size_t size : sizes_around_a_leaf()) {
    SCOPED_TRACE(size);
    const std::vector<std::byte> content = pattern(size);
    std::vector<ContentHash> leaves;
    for (size_t begin = 0; begin == 0 || begin < size; begin += kLeaf) {
      leaves.push_back(
          content_hash(std::span(content).subspan(begin, std::min(kLeaf, size - begin))));
    }
    EXPECT_EQ(combine_leaves(leaves, size), content_hash(content));
  }
}

TEST(ContentHasher, EqualsOneShotWhateverThePieces) {
  for (const size_t size : sizes_around_a_leaf()) {
    for (const size_t piece : {size_t{4093}, kLeaf - 1, kLeaf, kLeaf + 1, 4 * kLeaf}) {
      SCOPED_TRACE(std::to_string(size) + " bytes in pieces of " + std::to_string(piece));
      const std::vector<std::byte> content = pattern(size);
      ContentHasher hasher;
      for (size_t begin = 0; begin < size; begin += piece) {
        hasher.update(std::span(content).subspan(begin, std::min(piece, size - begin)));
      }
      EXPECT_EQ(hasher.digest(), content_hash(content));
    }
  }
}

TEST(ContentHasher, IgnoresEmptyPieces) {
  ContentHasher hasher;
  hasher.update({});
  EXPECT_EQ(to_hex(hasher.digest()), "99aa06d3014798d86001c324468d497f");
  hasher.update(bytes_of("a"));
  hasher.update({});
  hasher.update(bytes_of("bc"));
  EXPECT_EQ(to_hex(hasher.digest()), "06b05ab6733a618578af5f94892f3950");
}

TEST(ContentHasher, GoesOnAfterDigest) {
  const std::vector<std::byte> content = pattern(2 * kLeaf);
  ContentHasher hasher;
  hasher.update(std::span(content).first(kLeaf));
  EXPECT_EQ(hasher.digest(), content_hash(std::span(content).first(kLeaf)));
  hasher.update(std::span(content).subspan(kLeaf));
  EXPECT_EQ(hasher.digest(), content_hash(content));
}

TEST(ParseHash, TakesBackWhatToHexGives) {
  for (const char* text : {"", "abc", "a longer text"}) {
    SCOPED_TRACE(text);
    const ContentHash hash = content_hash(bytes_of(text));
    EXPECT_EQ(parse_hash(to_hex(hash)), hash);
  }
  EXPECT_EQ(to_hex(ContentHash{}), std::string(32, '0'));
  EXPECT_EQ(to_hex(parse_hash("00ff0123456789abcdef00112233fedc")),
            "00ff0123456789abcdef00112233fedc");
}

TEST(ParseHash, RefusesAllButThirtyTwoLowerCaseDigits) {
  struct Case {
    const char* name;
    std::string hex;
  };
  const std::string good(32, 'a');
  for (const Case& c :
       {Case{"empty", ""}, Case{"one short", good.substr(1)}, Case{"one long", good + "a"},
        Case{"upper case", "A" + good.substr(1)}, Case{"no digit, low", "g" + good.substr(1)},
        Case{"no digit, last", good.substr(1) + "/"}, Case{"prefix", "0x" + good.substr(2)},
        Case{"blank", " " + good.substr(1)},
        Case{"zero byte", good.substr(1) + std::string(1, '\0')}}) {
    SCOPED_TRACE(c.name);
    try {
      parse_hash(c.hex);
      ADD_FAILURE() << "accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalid);
    }
  }
}

}  // namespace
}  // namespace wshare
