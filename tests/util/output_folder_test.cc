#include "util/output_folder.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <utility>

#include "support/bytes.h"
#include "support/errors.h"
#include "wshare/error.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

using test::bytes_of;

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class OutputFolderTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "wshare-output-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { fs::remove_all(folder_); }

  // All paths below the test's folder, hidden ones too.
  std::set<std::string> tree() const {
    std::set<std::string> paths;
    for (const auto& entry : fs::recursive_directory_iterator(folder_)) {
      paths.insert(entry.path().lexically_relative(folder_).string());
    }
    return paths;
  }

  // Writes a bundle of one file and publishes it.
  void publish(const fs::path& target, bool replace, const char* file) const {
    OutputFolder output(target, replace);
    OutputFile out(output.path() / file);
    out.write("new");
    out.close();
    output.commit();
  }

  void expect_refused(const fs::path& target, bool replace) const {
    try {
      publish(target, replace, "a");
      ADD_FAILURE() << "published";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kIo);
    }
  }

  fs::path folder_;
};

using Tree = std::set<std::string>;

TEST_F(OutputFolderTest, AppearsOnlyAtCommit) {
  OutputFolder output(folder_ / "out", false);
  OutputFile file(output.path() / "a");
  file.write("text");
  file.close();
  EXPECT_FALSE(fs::exists(folder_ / "out"));
  output.commit();
  EXPECT_EQ(read(folder_ / "out/a"), "text");
  EXPECT_EQ(tree(), (Tree{"out", "out/a"}));
}

TEST_F(OutputFolderTest, LeavesNothingWithoutCommit) {
  {
    OutputFolder output(folder_ / "out", false);
    fs::create_directory(output.path() / "sub");
    OutputFile(output.path() / "sub/a").write("text");
  }
  EXPECT_EQ(tree(), Tree{});
}

TEST_F(OutputFolderTest, LeavesTheTargetAloneWithoutCommit) {
  fs::create_directory(folder_ / "out");
  std::ofstream(folder_ / "out/old") << "old";
  { OutputFolder output(folder_ / "out", true); }
  EXPECT_EQ(tree(), (Tree{"out", "out/old"}));
}

TEST_F(OutputFolderTest, CommitsOverAnEmptyFolder) {
  fs::create_directory(folder_ / "out");
  publish(folder_ / "out", false, "a");
  EXPECT_EQ(tree(), (Tree{"out", "out/a"}));
}

TEST_F(OutputFolderTest, CommitsManyFiles) {
  OutputFolder output(folder_ / "out", false);
  for (int i = 0; i < 30; ++i) OutputFile(output.path() / std::to_string(i)).write("x");
  output.commit();
  EXPECT_EQ(tree().size(), 31U);
}

TEST_F(OutputFolderTest, TakesATargetWithATrailingSlash) {
  publish(folder_.string() + "/out/", false, "a");
  EXPECT_EQ(tree(), (Tree{"out", "out/a"}));
}

TEST_F(OutputFolderTest, RefusesAnOccupiedTargetWithoutReplace) {
  fs::create_directory(folder_ / "out");
  std::ofstream(folder_ / "out/old") << "old";
  expect_refused(folder_ / "out", false);
  EXPECT_EQ(tree(), (Tree{"out", "out/old"}));
  EXPECT_EQ(read(folder_ / "out/old"), "old");
}

TEST_F(OutputFolderTest, RefusesAFileAsTargetWithoutReplace) {
  std::ofstream(folder_ / "full") << "old";
  std::ofstream(folder_ / "empty") << "";
  expect_refused(folder_ / "full", false);
  expect_refused(folder_ / "empty", false);
  EXPECT_EQ(tree(), (Tree{"empty", "full"}));
}

TEST_F(OutputFolderTest, ReplacesTheWholeFolder) {
  fs::create_directories(folder_ / "out/sub");
  std::ofstream(folder_ / "out/old") << "old";
  publish(folder_ / "out", true, "a");
  EXPECT_EQ(tree(), (Tree{"out", "out/a"}));
}

TEST_F(OutputFolderTest, ReplacesWhateverStandsThere) {
  std::ofstream(folder_ / "full") << "old";
  std::ofstream(folder_ / "empty") << "";
  fs::create_directory(folder_ / "folder");
  for (const char* target : {"full", "folder", "missing", "empty"}) {
    SCOPED_TRACE(target);
    EXPECT_NO_THROW(publish(folder_ / target, true, "a"));
    EXPECT_EQ(read(folder_ / target / "a"), "new");
  }
}

TEST_F(OutputFolderTest, RefusesAMountPoint) {
  std::string message, hint;
  EXPECT_EQ(test::code_of([] { OutputFolder("/proc", true); }, &message, &hint), 3);
  EXPECT_NE(message.find("'/proc': is a mount point"), std::string::npos) << message;
  EXPECT_EQ(hint, "name a folder in it: '/proc/bundle'");
}

TEST_F(OutputFolderTest, RefusesATargetWithoutParent) {
  expect_refused(folder_ / "missing/out", false);
  expect_refused(folder_ / "missing/out", true);
  EXPECT_EQ(tree(), Tree{});
}

TEST_F(OutputFolderTest, HasTheRightsThatTheUmaskLeaves) {
  for (const mode_t mask : {0022U, 0077U, 0000U}) {
    SCOPED_TRACE(mask);
    const mode_t before = umask(mask);
    const fs::path target = folder_ / std::to_string(mask);
    publish(target, false, "a");
    umask(before);
    struct stat folder {};
    struct stat file {};
    ASSERT_EQ(stat(target.c_str(), &folder), 0);
    ASSERT_EQ(stat((target / "a").c_str(), &file), 0);
    EXPECT_EQ(folder.st_mode & 0777, 0777 & ~mask);
    EXPECT_EQ(file.st_mode & 0777, 0666 & ~mask);
  }
}

TEST_F(OutputFolderTest, ReplacesTheFolderThatALinkLeadsTo) {
  fs::create_directory(folder_ / "real");
  std::ofstream(folder_ / "real/old") << "old";
  fs::create_directory(folder_ / "links");
  fs::create_directory_symlink("../real", folder_ / "links/out");
  publish(folder_ / "links/out", true, "a");
  EXPECT_EQ(tree(), (Tree{"links", "links/out", "real", "real/a"}));
  EXPECT_TRUE(fs::is_symlink(folder_ / "links/out"));
  EXPECT_EQ(read(folder_ / "links/out/a"), "new");
}

TEST_F(OutputFolderTest, WritesAnywhereInAFile) {
  OutputFile file(folder_ / "a");
  file.write("ab");
  EXPECT_EQ(file.offset(), 2U);
  file.write_zeros(2);
  file.write_at(6, bytes_of("gh"));
  EXPECT_EQ(file.offset(), 8U);
  file.write_at(0, bytes_of("A"));
  EXPECT_EQ(file.offset(), 8U);
  file.write("i");
  file.close();
  EXPECT_EQ(read(folder_ / "a"), std::string("Ab\0\0\0\0ghi", 9));
}

TEST_F(OutputFolderTest, WritesManyZerosAndLargePieces) {
  const std::string large((size_t{17} << 20) + 5, 'x');
  OutputFile file(folder_ / "a");
  file.write_zeros(10000);
  file.write(large);
  file.close();
  EXPECT_EQ(read(folder_ / "a"), std::string(10000, '\0') + large);
}

TEST_F(OutputFolderTest, EndsAtTheWrittenSizeWhateverWasReserved) {
  for (const uint64_t reserved : {uint64_t{0}, uint64_t{2}, uint64_t{4}, uint64_t{100000}}) {
    SCOPED_TRACE(reserved);
    const fs::path path = folder_ / std::to_string(reserved);
    OutputFile first(path, reserved);
    OutputFile file = std::move(first);
    file.write("text");
    file.close();
    EXPECT_EQ(read(path), "text");
  }
}

TEST_F(OutputFolderTest, RefusesAFileThatExistsOrHasNoPlace) {
  std::ofstream(folder_ / "a") << "old";
  EXPECT_THROW(OutputFile(folder_ / "a"), Error);
  EXPECT_EQ(read(folder_ / "a"), "old");
  EXPECT_THROW(OutputFile(folder_ / "missing/a"), Error);
}

TEST_F(OutputFolderTest, ShowsAFullDiskBeforeWriting) {
  EXPECT_THROW(OutputFile(folder_ / "a", uint64_t{1} << 62), Error);
}

// Such a file goes to disk while it is written, and its pages go before it is closed.
TEST_F(OutputFolderTest, KeepsEveryByteOfALargeFile) {
  constexpr size_t kSize = (size_t{65} << 20) + 77;
  constexpr size_t kPiece = (size_t{3} << 20) + 5;  // no boundary on a page
  std::string text(kSize, 0);
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 2654435761U >> 13);
  OutputFile file(folder_ / "large", kSize);
  for (size_t at = 0; at < kSize; at += kPiece) file.write(text.substr(at, kPiece));
  file.close();
  EXPECT_TRUE(read(folder_ / "large") == text);  // no megabytes of message
}

}  // namespace
}  // namespace wshare
