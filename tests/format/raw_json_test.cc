#include "format/raw_json.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace wshare {
namespace {

// Byte by byte.
size_t plain_end(std::string_view text, size_t at) {
  const char open = text[at], close = open == '[' ? ']' : '}';
  size_t level = 0;
  bool in_text = false;
  for (; at < text.size(); ++at) {
    if (text[at] == '"') in_text = !in_text;
    if (in_text && text[at] == '\\') ++at;
    if (in_text) continue;
    if (text[at] == open) ++level;
    if (text[at] == close && --level == 0) return at + 1;
  }
  return std::string_view::npos;
}

// Long enough for several blocks, with quotes, backslashes and brackets on all their borders.
TEST(RawJson, EndsWhereItEndsByteByByte) {
  std::mt19937 random(1);
  size_t ended = 0;
  for (const std::string_view alphabet :
       {"[]\"\\x", "[][x\"\"    ", "{[}]x\"", "[xxxxxxxxxxxx]\""}) {
    for (int i = 0; i < 20000; ++i) {
      std::string text = alphabet[0] == '{' ? "{" : "[[";
      for (size_t size = random() % 300; text.size() < size;)
        text += alphabet[random() % alphabet.size()];
      const size_t end = plain_end(text, 0);
      ASSERT_EQ(end_of_raw_json(text, 0), end) << text;
      ended += end == std::string_view::npos ? 0 : 1;
    }
  }
  EXPECT_GT(ended, 10000u);
}

TEST(RawJson, BeginsAnywhere) {
  const std::string list = "[\"]\", {\"a\": [" + std::string(200, ' ') + "]}]";
  for (size_t before = 0; before < 130; ++before) {
    const std::string text = std::string(before, '"') + list + ", 1]";
    EXPECT_EQ(end_of_raw_json(text, before), before + list.size());
  }
}

}  // namespace
}  // namespace wshare
