// Places where nothing can be written, and disks that are full.

#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <iostream>

#include "support/cli_test.h"
#include "support/spawn.h"

namespace wshare::test {
namespace {

class BadOutput : public CliTest {
 protected:
  BadOutput() {
    add("a.onnx", {raw("trunk", noise(200000, 1)), raw("head", noise(5000, 2))});
    add("b.onnx", model_of({raw("trunk", noise(200000, 1)),
                            external("w", 300000, {{"location", "b.data"}})}));
    add("b.data", noise(300000, 4));
    EXPECT_EQ(run({"dedupe", path("in"), "-o", path("bundle")}), 0) << err_;
    write_file(temp_ / "file", "a file");
  }

  // Limits the size of every file that this process writes while it lives.
  class FileSizeLimit {
   public:
    explicit FileSizeLimit(rlim_t bytes) {
      getrlimit(RLIMIT_FSIZE, &before_);
      rlimit limit = before_;
      limit.rlim_cur = bytes;
      EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
      handler_ = std::signal(SIGXFSZ, SIG_IGN);  // writes beyond then fail with EFBIG
    }
    ~FileSizeLimit() {
      setrlimit(RLIMIT_FSIZE, &before_);
      std::signal(SIGXFSZ, handler_);
    }

   private:
    rlimit before_{};
    void (*handler_)(int) = nullptr;
  };
};

TEST_F(BadOutput, IsNoPlaceForABundle) {
  struct Case {
    const char* name;
    std::string output;
    std::vector<std::string> texts;
  };
  const std::string read_only = geteuid() == 0 ? "/proc/wshare" : path("locked/o");
  fs::create_directory(temp_ / "locked");
  fs::permissions(temp_ / "locked", fs::perms::owner_read | fs::perms::owner_exec);
  for (const Case& c :
       {Case{"a missing parent", path("none/o"), {"none/o'", "No such file"}},
        Case{"a parent that is a file", path("file/o"), {"file/o'", "Not a directory"}},
        Case{"a read-only parent", read_only, {read_only + "'"}},
        Case{"a file", path("file"), {"file'", "no folder"}},
        Case{"a bundle", path("bundle"), {"bundle'", "exists already", "hint: --force"}},
        Case{"the folder of the inputs", path("in"), {"in'", "holds the input"}}}) {
    SCOPED_TRACE(c.name);
    expect_refused({"dedupe", path("in"), "-o", c.output}, 3, c.texts);
  }
}

TEST_F(BadOutput, IsNoPlaceForRestoredFiles) {
  fs::create_directories(temp_ / "taken/b.data");
  write_file(temp_ / "mine/b.data", "mine");
  struct Case {
    const char* name;
    std::string output;
    std::vector<std::string> texts;
  };
  const std::string read_only = geteuid() == 0 ? "/proc/wshare" : path("locked/o");
  fs::create_directory(temp_ / "locked");
  fs::permissions(temp_ / "locked", fs::perms::owner_read | fs::perms::owner_exec);
  for (const Case& c :
       {Case{"a file", path("file"), {"file'"}},
        Case{"below a file", path("file/o"), {"file'", "cannot make this folder"}},
        Case{"a read-only parent", read_only, {read_only + "'"}},
        Case{"the bundle", path("bundle"), {"bundle'", "is the bundle itself"}},
        Case{"a new folder in the bundle", path("bundle/o"), {"bundle/o'", "lies in it"}},
        Case{"a file that exists",
             path("mine"),
             {"mine/b.data'", "exists already", "hint: --force"}},
        Case{"a folder of that name", path("taken"), {"taken/b.data'", "is a folder"}}}) {
    SCOPED_TRACE(c.name);
    expect_refused({"restore", path("bundle"), "-o", c.output}, 3, c.texts);
  }
  expect_refused({"restore", path("bundle"), "-o", path("taken"), "--force"}, 3, {"is a folder"});
}

// The limit meets another file each time: a blob that is reserved, a model, restore.bin.
TEST_F(BadOutput, IsFullBeforeTheBundleIsWritten) {
  for (const rlim_t limit : {10u, 100u, 250u, 1000u, 4096u, 100000u, 299999u}) {
    SCOPED_TRACE(limit);
    const FileSizeLimit guard(limit);
    expect_refused({"dedupe", path("in"), "-o", path("o")}, 3, {"File too large"});
  }
}

// As `ulimit -f` in a shell, where nobody has said what the signal of a write beyond does.
TEST_F(BadOutput, IsTooSmallForTheProgram) {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"dedupe", path("in"), "-o", path("o")},
        std::vector<std::string>{"restore", path("bundle"), "-o", path("o")}}) {
    SCOPED_TRACE(arguments.front());
    pid_t child = 0;
    {
      const FileSizeLimit guard(100000);
      std::signal(SIGXFSZ, SIG_DFL);
      child = spawn_wshare(arguments, temp_.path());
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status)) << "signal " << WTERMSIG(status);
    EXPECT_EQ(WEXITSTATUS(status), 3);
    EXPECT_NE(read_file(temp_ / "err").find("File too large"), std::string::npos);
    EXPECT_EQ(names_in(temp_.path()),
              (std::vector<std::string>{"bundle", "err", "file", "in", "out"}));
  }
}

TEST_F(BadOutput, IsFullBeforeTheOriginalsAreWritten) {
  for (const rlim_t limit : {10u, 1000u, 100000u, 299999u}) {
    SCOPED_TRACE(limit);
    const FileSizeLimit guard(limit);
    expect_refused({"restore", path("bundle"), "-o", path("new/folder")}, 3, {"File too large"});
  }
  EXPECT_EQ(run({"restore", path("bundle"), "-o", path("new/folder")}), 0) << err_;
}

TEST_F(BadOutput, IsOnAFullDisk) {
  fs::create_directory(temp_ / "disk");
  if (mount("none", path("disk").c_str(), "tmpfs", 0, "size=256k") != 0) {
    GTEST_SKIP()
        << "A SMALL DISK CANNOT BE MOUNTED HERE: full disks were tested by RLIMIT_FSIZE only";
  }
  expect_refused({"dedupe", path("in"), "-o", path("disk/o")}, 3, {"No space left on device"});
  expect_refused({"restore", path("bundle"), "-o", path("disk/o")}, 3, {"No space left on device"});
  EXPECT_EQ(umount2(path("disk").c_str(), MNT_DETACH), 0);
}

}  // namespace
}  // namespace wshare::test
