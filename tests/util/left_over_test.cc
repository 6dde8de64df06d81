#include "util/left_over.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/errors.h"
#include "support/file_probe.h"
#include "support/files.h"
#include "util/output_folder.h"
#include "util/target_file.h"
#include "util/temporary_folder.h"

namespace wshare {
namespace {

using test::names_in;
using Names = std::vector<std::string>;

// Runs `work` in a process that is killed when it is done.
template <typename Work>
void kill_after(const Work& work) {
  const pid_t child = fork();
  if (child == 0) {
    work();
    kill(getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
}

TEST(LeftOver, OfAKilledWriterGoesWithTheNextOneForThatPlace) {
  const test::TempFolder temp;
  kill_after([&] {
    OutputFolder folder(temp / "bundle", false);
    test::write_file(folder.path() / "nested/file", "half");
    TargetFile file(temp / "page.html", 0, false);
    file.file().write("half");
    kill(getpid(), SIGKILL);
  });
  EXPECT_EQ(names_in(temp.path()).size(), 2u);
  { const OutputFolder other(temp / "other", false); }
  EXPECT_EQ(names_in(temp.path()).size(), 2u) << "nobody writes these places";
  { const OutputFolder again(temp / "bundle", false); }
  { const TargetFile again(temp / "page.html", 0, false); }
  EXPECT_EQ(names_in(temp.path()), Names{});
}

TEST(LeftOver, IsNotWhatSomebodyWrites) {
  const test::TempFolder temp;
  OutputFolder first(temp / "bundle", false);
  TargetFile first_file(temp / "page.html", 0, true);
  first_file.file().write("text");
  { const OutputFolder second(temp / "bundle", false); }
  { const TargetFile second(temp / "page.html", 0, true); }
  OutputFile(first.path() / "file").close();
  first.commit();
  first_file.publish();
  EXPECT_EQ(names_in(temp.path()), (Names{"bundle", "page.html"}));
}

TEST(LeftOver, IsNotWhatIsOnlyCalledAlike) {
  const test::TempFolder temp;
  const Names mine = {".bundle.wshare-",
                      ".bundle.wshare-ABCDEFGHIJ",
                      ".bundle.wshare-abcdefghi",
                      ".bundle.wshare-abcdefghijk",
                      ".bundle2.wshare-abcdefghij",
                      "bundle.wshare-abcdefghij"};
  for (const std::string& name : mine) test::write_file(temp / name, "mine");
  test::write_file(temp / "kept/mine", "mine");
  test::fs::create_symlink(temp / "kept", temp / ".bundle.wshare-abcdefghij");
  { const OutputFolder folder(temp / "bundle", false); }
  EXPECT_EQ(names_in(temp.path()).size(), mine.size() + 2);
  EXPECT_EQ(test::read_file(temp / "kept/mine"), "mine");
}

TEST(LeftOver, OfTemporaryFilesGoes) {
  const test::TempFolder temp;
  const char* const before = getenv("TMPDIR");
  const std::string saved = before == nullptr ? "" : before;
  setenv("TMPDIR", temp.path().c_str(), 1);
  kill_after([&] {
    const TemporaryFolder folder;
    test::write_file(folder.path / "large", "half");
    kill(getpid(), SIGKILL);
  });
  EXPECT_EQ(names_in(temp.path()).size(), 1u);
  {
    const TemporaryFolder first;
    const TemporaryFolder second;
    EXPECT_EQ(names_in(temp.path()).size(), 2u);
    struct stat status {};
    ASSERT_EQ(stat(first.path.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0700u);
  }
  EXPECT_EQ(names_in(temp.path()), Names{});
  before == nullptr ? unsetenv("TMPDIR") : setenv("TMPDIR", saved.c_str(), 1);
}

TEST(LeftOver, IsNothingAfterAFailedCleanUp) {
  const test::TempFolder temp;
  {
    const OutputFolder folder(temp / "bundle", false);
    test::write_file(folder.path() / "nested/file", "half");
    const test::FileProbe probe(FileCall::Kind::kUnlink, EIO);
    const OutputFolder again(temp / "bundle", false);
  }
  EXPECT_EQ(names_in(temp.path()), Names{});
}

}  // namespace
}  // namespace wshare
