#include "util/suggest.h"

#include <gtest/gtest.h>

namespace wshare {
namespace {

TEST(EditDistance, CountsInsertedDeletedReplacedAndSwappedLetters) {
  EXPECT_EQ(edit_distance("", ""), 0u);
  EXPECT_EQ(edit_distance("", "abc"), 3u);
  EXPECT_EQ(edit_distance("dedup", "dedupe"), 1u);
  EXPECT_EQ(edit_distance("verifyy", "verify"), 1u);
  EXPECT_EQ(edit_distance("deddpe", "dedupe"), 1u);
  EXPECT_EQ(edit_distance("ddeupe", "dedupe"), 1u);
  EXPECT_EQ(edit_distance("run", "diff"), 4u);
}

TEST(Nearest, FindsWhatWasMeantAndNothingElse) {
  const std::vector<std::string> known = {"dedupe", "diff",           "verify", "run",
                                          "a",      "import-adapter", "B"};
  struct Case {
    const char* given;
    const char* meant;
  };
  for (const Case& c :
       {Case{"dedup", "dedupe"}, Case{"DEDUPE", "dedupe"}, Case{"dif", "diff"},
        Case{"imp", "import-adapter"}, Case{"import_adaptor", "import-adapter"}, Case{"rnu", "run"},
        Case{"b", "B"}, Case{"c", ""}, Case{"", ""}, Case{"frobnicate", ""}, Case{"xy", ""}}) {
    EXPECT_EQ(nearest(c.given, known), c.meant) << c.given;
  }
  EXPECT_EQ(nearest(std::string(100000, 'a'), {std::string(100000, 'b')}), "");
}

TEST(HintOfNames, ShowsTheNearestNameOrThoseThatThereAre) {
  EXPECT_EQ(hint_of_names("bace", {"base", "other"}), "did you mean 'base'?");
  EXPECT_EQ(hint_of_names("zebra", {"base", "other"}), "it has 'base', 'other'");
  EXPECT_EQ(hint_of_names("zebra", std::vector<std::string>(14, "m")),
            "it has 'm', 'm', 'm', 'm', 'm', 'm', 'm', 'm', 'm', 'm', 'm', 'm' and 2 more");
  EXPECT_EQ(hint_of_names("zebra", {}), "it has none");
}

}  // namespace
}  // namespace wshare
