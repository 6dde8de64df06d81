#include "util/text.h"

#include <gtest/gtest.h>

#include <limits>

#include "util/visible.h"
#include "wshare/error.h"

namespace wshare {
namespace {

TEST(InQuotes, EscapesWhatATerminalOrALogCouldMisread) {
  struct Case {
    const char* name;
    std::string_view input;
    const char* expected;
  };
  for (const Case& c :
       {Case{"plain", "weight", "'weight'"}, Case{"empty", "", "''"},
        Case{"quote", "a'b", "'a\\x27b'"}, Case{"backslash", "a\\b", "'a\\x5cb'"},
        Case{"line feed", "a\nb", "'a\\x0ab'"}, Case{"escape", "\x1b[31m", "'\\x1b[31m'"},
        Case{"delete", "\x7f", "'\\x7f'"}, Case{"zero", std::string_view("a\0b", 3), "'a\\x00b'"},
        Case{"utf-8", "\xc3\xa4", "'\xc3\xa4'"}}) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(in_quotes(c.input), c.expected);
  }
}

TEST(Visible, EscapesWhatIsNotSeenAsItself) {
  struct Case {
    const char* name;
    std::string_view input;
    const char* expected;
  };
  for (const Case& c :
       {Case{"quotes stay", "it's a\\b", "it's a\\b"},
        Case{"a control of C1",
             "\xc2\x9b"
             "31m",
             "\\xc2\\x9b31m"},
        Case{"the last of them, and none", "\xc2\x9f\xc2\xa0", "\\xc2\\x9f\xc2\xa0"},
        Case{"one byte of C1",
             "\x9b"
             "31m",
             "\\x9b31m"},
        Case{"Arabic letter mark", "\xd8\x9c", "\\xd8\\x9c"},
        Case{"left-to-right mark", "\xe2\x80\x8e", "\\xe2\\x80\\x8e"},
        Case{"right-to-left mark", "\xe2\x80\x8f", "\\xe2\\x80\\x8f"},
        Case{"line separator", "\xe2\x80\xa8", "\\xe2\\x80\\xa8"},
        Case{"paragraph separator", "\xe2\x80\xa9", "\\xe2\\x80\\xa9"},
        Case{"right-to-left override", "\xe2\x80\xae", "\\xe2\\x80\\xae"},
        Case{"right-to-left isolate", "\xe2\x81\xa7", "\\xe2\\x81\\xa7"},
        Case{"end of an isolate", "\xe2\x81\xa9", "\\xe2\\x81\\xa9"},
        Case{"surrogate", "\xed\xa0\x80", "\\xed\\xa0\\x80"},
        Case{"cut short", "a\xe2\x80", "a\\xe2\\x80"},
        Case{"other scripts", "\xd7\x90\xe6\xbc\xa2\xf0\x9f\x98\x80",
             "\xd7\x90\xe6\xbc\xa2\xf0\x9f\x98\x80"}}) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(visible(c.input), c.expected);
    EXPECT_EQ(visible(c.expected), c.expected) << "not what it says when it is said again";
  }
}

TEST(Visible, CutsInTheMiddleBetweenCharacters) {
  EXPECT_EQ(visible("abcdefgh", 8), "abcdefgh");
  EXPECT_EQ(visible("abcdefghi", 8), "abcd...fghi");
  EXPECT_EQ(visible("ab\xe6\xbc\xa2 \xe6\xbc\xa2yz", 8), "ab...yz");
  EXPECT_EQ(visible(std::string(10, '\x9b'), 2), "...") << "parts of characters";
}

TEST(InQuotes, CutsNamesOverTwoHundredBytes) {
  const std::string most(200, 'x');
  EXPECT_EQ(in_quotes(most), "'" + most + "'");
  const std::string half(100, 'x');
  EXPECT_EQ(in_quotes(most + "y"), "'" + half + "..." + half.substr(1) + "y'");
  EXPECT_EQ(in_quotes(std::string(100000, 'x')), "'" + half + "..." + half + "'");
}

TEST(FormatBytes, PicksTheUnitThatKeepsTheNumberBelow1024) {
  struct Case {
    uint64_t bytes;
    const char* expected;
  };
  for (const Case& c :
       {Case{0, "0 B"}, Case{1, "1 B"}, Case{512, "512 B"}, Case{1023, "1023 B"},
        Case{1024, "1.0 KiB"}, Case{1434, "1.4 KiB"}, Case{1536, "1.5 KiB"},
        Case{(1 << 20) - 1, "1.0 MiB"}, Case{1 << 20, "1.0 MiB"}, Case{433586176, "413.5 MiB"},
        Case{(uint64_t{1} << 30) - 1, "1.0 GiB"}, Case{uint64_t{1} << 40, "1.0 TiB"},
        Case{uint64_t{1} << 50, "1.0 PiB"}, Case{uint64_t{1} << 60, "1.0 EiB"},
        Case{std::numeric_limits<uint64_t>::max(), "16.0 EiB"}}) {
    EXPECT_EQ(format_bytes(c.bytes), c.expected) << c.bytes;
  }
}

TEST(ParseDecimal, TakesAllOfTheTextOrNothing) {
  struct Case {
    std::string_view text;
    int64_t expected;
  };
  for (const Case& c :
       {Case{"0", 0}, Case{"7", 7}, Case{"007", 7}, Case{"9223372036854775807", INT64_MAX},
        Case{"9223372036854775808", -1}, Case{"99999999999999999999999", -1}, Case{"", -1},
        Case{{}, -1}, Case{"-0", -1}, Case{"-1", -1}, Case{"+1", -1}, Case{" 1", -1},
        Case{"1 ", -1}, Case{"1.0", -1}, Case{"0x10", -1}, Case{"1e3", -1}, Case{"abc", -1},
        Case{std::string_view("1\0", 2), -1}}) {
    EXPECT_EQ(parse_decimal(c.text), c.expected) << '"' << c.text << '"';
  }
}

TEST(ParseSize, ReadsPowersOf1024) {
  struct Case {
    const char* text;
    uint64_t expected;
  };
  for (const Case& c :
       {Case{"0", 0}, Case{"512", 512}, Case{"512B", 512}, Case{"64K", 65536}, Case{"64KB", 65536},
        Case{"64KiB", 65536}, Case{"1M", 1 << 20}, Case{"1.5GiB", 1610612736}, Case{"0.5K", 512},
        Case{"2T", uint64_t{2} << 40}, Case{"1G", uint64_t{1} << 30}}) {
    EXPECT_EQ(parse_size(c.text), c.expected) << c.text;
  }
}

TEST(ParseSize, RefusesWhatIsNoSize) {
  for (const std::string_view text : {std::string_view(),
                                      std::string_view(""),
                                      std::string_view("K"),
                                      std::string_view("iB"),
                                      std::string_view("B"),
                                      std::string_view("1X"),
                                      std::string_view("1k"),
                                      std::string_view("1KM"),
                                      std::string_view("1MG"),
                                      std::string_view("1 K"),
                                      std::string_view(" 1"),
                                      std::string_view("1K "),
                                      std::string_view("-1"),
                                      std::string_view("-1K"),
                                      std::string_view("nan"),
                                      std::string_view("inf"),
                                      std::string_view("1.2.3"),
                                      std::string_view("0x10"),
                                      std::string_view("99999999T"),
                                      std::string_view("9223372036854775808"),
                                      std::string_view("1e999"),
                                      std::string_view("1P"),
                                      std::string_view("1KBB"),
                                      std::string_view("1\0", 2)}) {
    SCOPED_TRACE(text);
    try {
      const uint64_t size = parse_size(text);
      ADD_FAILURE() << "accepted as " << size;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalid);
    }
  }
}

}  // namespace
}  // namespace wshare
