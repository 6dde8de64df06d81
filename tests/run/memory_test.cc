#include "util/memory.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>
#include <vector>

#include "support/bundle_test.h"

namespace wshare::test {
namespace {

constexpr char kRollup[] =
    "5581e0e3b000-7ffc7a7f7000 ---p 00000000 00:00 0                          [rollup]\n"
    "Rss:                3120 kB\n"
    "Pss:                 734 kB\n"
    "Pss_Dirty:           372 kB\n"
    "Pss_Anon:            371 kB\n"
    "Anonymous:           372 kB\n"
    "LazyFree:              0 kB\n";

TEST(ParseRollup, TakesPssAndAnonymousAndNothingOfLikeName) {
  const MemoryFigures figures = parse_rollup(kRollup);
  EXPECT_EQ(figures.pss, 734u * 1024);
  EXPECT_EQ(figures.anonymous, 372u * 1024);
}

TEST(ParseRollup, RefusesATextWithoutFigures) {
  for (const char* text : {"", "\n\n", "Rss: 12 kB\n", "Pss: many kB\n", "Pss_Dirty: 5 kB\n"}) {
    SCOPED_TRACE(text);
    EXPECT_EQ(code_of([&] { parse_rollup(text); }), 5);
  }
}

constexpr char kSmaps[] =
    "7f00-7f10 r--s 00000000 08:01 12   /b/a.bin\n"
    "Size:                  8 kB\n"
    "Pss:                   3 kB\n"
    "Pss_Dirty:             1 kB\n"
    "VmFlags: rd mr mw me\n"
    "7f10-7f20 r--s 00000000 08:01 13   /b/sub/with space.bin\n"
    "Pss:                   4 kB\n"
    "7f20-7f30 r--s 00000000 08:01 14   /bundle/a.bin\n"
    "Pss:                  50 kB\n"
    "7f30-7f40 rw-p 00000000 00:00 0 \n"
    "Pss:                 600 kB\n"
    "7f40-7f50 rw-p 00000000 00:00 0    [heap]\n"
    "Pss:                7000 kB\n";

TEST(ParsePssBelow, CountsFilesInAndBelowAFolder) {
  const auto below = [](const std::string& folder) {
    std::istringstream text(kSmaps);
    return parse_pss_below(text, folder);
  };
  EXPECT_EQ(below("/b"), 7u * 1024);
  EXPECT_EQ(below("/bundle"), 50u * 1024);
  EXPECT_EQ(below("/bun"), 0u);
}

// Touched pages are this process's alone and count in full. Nothing is said of the rest, which
// changes meanwhile: the share in pages of libraries shrinks as other processes map them.
TEST(MeasureMemory, CountsWhatIsTouched) {
  const MemoryFigures before = measure_memory();
  const std::vector<char> touched(2 * std::max(before.pss, before.anonymous) + (64 << 20), 1);
  const MemoryFigures after = measure_memory();
  EXPECT_EQ(touched.back(), 1);
  EXPECT_GE(after.anonymous, touched.size());
  EXPECT_GE(after.pss, touched.size());
}

}  // namespace
}  // namespace wshare::test
