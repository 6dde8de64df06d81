#include "util/target_file.h"

#include <gtest/gtest.h>

#include "support/errors.h"
#include "support/files.h"

namespace wshare {
namespace {

using test::names_in;
using test::read_file;
using test::write_file;

TEST(TargetFile, AppearsWhenItIsPublished) {
  const test::TempFolder folder;
  {
    TargetFile file(folder / "a", 0, false);
    file.file().write(std::string("text"));
    EXPECT_FALSE(test::fs::exists(folder / "a"));
    file.publish();
  }
  EXPECT_EQ(read_file(folder / "a"), "text");
  EXPECT_EQ(names_in(folder.path()), std::vector<std::string>{"a"});
}

TEST(TargetFile, LeavesNothingWithoutPublish) {
  const test::TempFolder folder;
  write_file(folder / "a", "old");
  {
    TargetFile file(folder / "a", 0, true);
    file.file().write(std::string("new"));
  }
  EXPECT_EQ(read_file(folder / "a"), "old");
  EXPECT_EQ(names_in(folder.path()), std::vector<std::string>{"a"});
}

TEST(TargetFile, DoesNotMixWithAnotherWriterOfTheSameFile) {
  const test::TempFolder folder;
  TargetFile first(folder / "a", 0, true);
  first.file().write(std::string("first, half"));
  TargetFile second(folder / "a", 0, true);
  second.file().write(std::string("second"));
  first.file().write(std::string(" and whole"));
  first.publish();
  EXPECT_EQ(read_file(folder / "a"), "first, half and whole");
  second.publish();
  EXPECT_EQ(read_file(folder / "a"), "second");
  EXPECT_EQ(names_in(folder.path()), std::vector<std::string>{"a"});
}

TEST(TargetFile, TakesTheLongestName) {
  const test::TempFolder folder;
  const std::string name(255, 'n');
  TargetFile file(folder / name, 0, false);
  file.publish();
  EXPECT_EQ(names_in(folder.path()), std::vector<std::string>{name});
}

TEST(TargetFile, RefusesWhatIsThere) {
  const test::TempFolder folder;
  write_file(folder / "a", "old");
  write_file(folder / "folder/b", "");
  EXPECT_EQ(test::code_of([&] { TargetFile(folder / "a", 0, false); }), 3);
  EXPECT_EQ(test::code_of([&] { TargetFile(folder / "folder", 0, true); }), 3);
  EXPECT_EQ(test::code_of([&] { TargetFile(folder / "none/a", 0, true); }), 3);
  EXPECT_EQ(names_in(folder.path()), (std::vector<std::string>{"a", "folder"}));
}

}  // namespace
}  // namespace wshare
