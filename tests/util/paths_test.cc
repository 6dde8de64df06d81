#include "util/paths.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>
#include <string>

#include "wshare/error.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

class Paths : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "wshare-paths-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    root_ = fs::canonical(name);
    fs::create_directories(root_ / "models/sub");
    fs::create_directories(root_ / "other");
    for (const char* file :
         {"models/m.onnx", "models/w.bin", "models/sub/w.bin", "other/secret", "modelsX"})
      write(file);
  }
  void TearDown() override { fs::remove_all(root_); }

  void write(const fs::path& file) const { std::ofstream(root_ / file) << file.string(); }

  fs::path root_;
};

TEST(IsFileName, AcceptsPlainNames) {
  for (const std::string& name :
       {std::string("a"), std::string("model.onnx"), std::string("a b-c_1"),
        std::string("..").insert(0, "a"), std::string("\xc3\xa4"), std::string(240, 'x')}) {
    EXPECT_TRUE(is_file_name(name)) << name;
  }
}

TEST(IsFileName, RefusesWhatLeavesTheFolderOrHides) {
  struct Case {
    const char* name;
    std::string file;
  };
  for (const Case& c :
       {Case{"empty", ""}, Case{"dot", "."}, Case{"dot dot", ".."}, Case{"hidden", ".a"},
        Case{"slash", "a/b"}, Case{"absolute", "/a"}, Case{"backslash", "a\\b"},
        Case{"line feed", "a\n"}, Case{"zero", std::string("a\0b", 3)}, Case{"delete", "a\x7f"},
        Case{"escape", "\x1b"}, Case{"241 bytes", std::string(241, 'x')}}) {
    SCOPED_TRACE(c.name);
    EXPECT_FALSE(is_file_name(c.file));
  }
}

TEST(JoinInside, JoinsRelativePaths) {
  EXPECT_EQ(join_inside("/m", "w.bin"), "/m/w.bin");
  EXPECT_EQ(join_inside("/m", "sub/w.bin"), "/m/sub/w.bin");
  EXPECT_EQ(join_inside("/m", "./sub//w.bin"), "/m/sub/w.bin");
  EXPECT_EQ(join_inside("/m", "a..b"), "/m/a..b");
  EXPECT_EQ(join_inside("/m", "..."), "/m/...");
}

TEST(JoinInside, RefusesWhatLeavesTheFolder) {
  struct Case {
    const char* name;
    std::string relative;
  };
  for (const Case& c : {Case{"empty", ""}, Case{"absolute", "/etc/passwd"}, Case{"parent", ".."},
                        Case{"climbs", "../x"}, Case{"climbs later", "a/../../x"},
                        Case{"climbs back in", "a/../x"}, Case{"ends with a climb", "a/.."},
                        Case{"zero byte", std::string("a\0b", 3)}, Case{"double slash", "//x"}}) {
    SCOPED_TRACE(c.name);
    try {
      join_inside("/m", c.relative);
      ADD_FAILURE() << "accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalid);
    }
  }
}

TEST_F(Paths, IsInsideComparesWholeNames) {
  EXPECT_TRUE(is_inside(root_ / "models", root_ / "models"));
  EXPECT_TRUE(is_inside(root_ / "models/sub/new", root_ / "models"));
  EXPECT_TRUE(is_inside(root_ / "models/w.bin", (root_ / "models").string() + "/"));
  EXPECT_TRUE(is_inside(root_ / "new/file", root_ / "new"));
  EXPECT_FALSE(is_inside(root_ / "modelsX", root_ / "models"));
  EXPECT_FALSE(is_inside(root_ / "models/../other", root_ / "models"));
  EXPECT_FALSE(is_inside(root_, root_ / "models"));
}

TEST_F(Paths, CanonicalPathsFollowLinksOfFoldersAndOfFiles) {
  fs::create_directories(root_ / "canonical/real");
  std::ofstream(root_ / "canonical/real/a.onnx") << "a";
  fs::create_directory_symlink("real", root_ / "canonical/link");
  fs::create_symlink("real/a.onnx", root_ / "canonical/a.onnx");
  const fs::path a = fs::canonical(root_ / "canonical/real/a.onnx");
  CanonicalPaths canonical;
  for (const char* path : {"real/a.onnx", "link/a.onnx", "a.onnx", "real/../link/a.onnx"}) {
    EXPECT_EQ(canonical.of(root_ / "canonical" / path), a) << path;
  }
  EXPECT_THROW(canonical.of(root_ / "canonical/real/missing"), Error);
  EXPECT_THROW(canonical.of(root_ / "canonical/none/a.onnx"), Error);
}

}  // namespace
}  // namespace wshare
