#include "util/sync_batch.h"

#include <gtest/gtest.h>
#include <linux/magic.h>
#include <sys/vfs.h>

#include <algorithm>
#include <cerrno>
#include <string_view>

#include "support/errors.h"
#include "support/file_probe.h"
#include "support/files.h"
#include "util/durable.h"
#include "util/memory.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

using test::FileProbe;
using Kind = FileCall::Kind;

// Answers syncs with `all` and `each`, 0: they are made. Nothing else waits for the disk.
class Disk : public FileProbe {
 public:
  Disk(int all, int each)
      : FileProbe([all, each](FileCall& call) {
          if (call.kind == Kind::kOpen && std::string_view(call.path) == "/proc/meminfo")
            return ENOENT;
          if (call.kind == Kind::kSyncAll) return all;
          return call.kind == Kind::kSync ? each : kMake;
        }) {}

  size_t count(Kind kind) const {
    return static_cast<size_t>(std::count(kinds().begin(), kinds().end(), kind));
  }
};

class SyncBatchOf : public testing::Test {
 protected:
  void SetUp() override {
    struct statfs facts {};
    ASSERT_EQ(::statfs(folder_.path().c_str(), &facts), 0);
    if (facts.f_type != EXT4_SUPER_MAGIC && facts.f_type != BTRFS_SUPER_MAGIC)
      GTEST_SKIP() << "temporary files lie on a file system whose files are synced one by one";
  }

  // Writes `count` files in one batch.
  void write(size_t count) {
    SyncBatch batch(folder_.path());
    for (size_t i = 0; i < count; ++i) {
      const std::string name = std::to_string(made_++);
      OutputFile file(folder_ / name);
      file.write(name);
      batch.add(std::move(file));
    }
    batch.finish();
  }

  test::TempFolder folder_;
  size_t made_ = 0;
};

TEST_F(SyncBatchOf, ManyWaitsOnceForEach32) {
  const Disk disk(0, 0);
  write(70);
  EXPECT_EQ(disk.count(Kind::kSyncAll), 3u);
  EXPECT_EQ(disk.count(Kind::kSync), 0u);
  for (size_t i = 0; i < made_; ++i)
    EXPECT_EQ(test::read_file(folder_ / std::to_string(i)), std::to_string(i));
}

TEST_F(SyncBatchOf, FewSyncsEachOfThem) {
  const Disk disk(0, 0);
  write(35);
  EXPECT_EQ(disk.count(Kind::kSyncAll), 1u);
  EXPECT_EQ(disk.count(Kind::kSync), 3u);
}

TEST_F(SyncBatchOf, ManySyncsEachWhereThatIsAllThereIs) {
  for (const int error : {ENOSYS, EPERM}) {
    const Disk disk(error, 0);
    write(40);
    EXPECT_EQ(disk.count(Kind::kSyncAll), 2u);
    EXPECT_EQ(disk.count(Kind::kSync), 40u);
  }
}

TEST_F(SyncBatchOf, ManyNamesTheFileThatCannotBeWritten) {
  for (const int error : {EIO, ENOSPC, EDQUOT}) {
    const Disk of_ours(error, error);
    const std::string ours = test::message_of([&] { write(4); });
    EXPECT_NE(ours.find(std::to_string(made_ - 4) + "': cannot write to disk"), ours.npos) << ours;
  }
  // No error is dropped, not even one that no file of these has.
  const Disk of_others(EIO, 0);
  const std::string others = test::message_of([&] { write(4); });
  EXPECT_NE(others.find(folder_.path().string() + "': cannot write to disk"), others.npos)
      << others;
}

// An error of a transfer that is only begun is told to who began it.
TEST_F(SyncBatchOf, OneDropsNoErrorOfAnEarlyTransfer) {
  const FileProbe probe(Kind::kStartSync, EIO);
  EXPECT_EQ(test::code_of([&] { write(1); }), 3);
}

TEST(SyncFolders, SyncsManyAtOnceAndFewEach) {
  const test::TempFolder folder;
  fs::create_directories(folder / "a/b");
  {
    const Disk disk(0, 0);
    sync_folders(folder.path());
    EXPECT_EQ(disk.count(Kind::kSync), 3u);
  }
  fs::create_directories(folder / "c");
  const Disk disk(ENOSYS, 0);
  sync_folders(folder.path());
  EXPECT_EQ(disk.count(Kind::kSync), 4u);
}

TEST(UnwrittenBytes, AreWhatWaitsAndWhatIsOnItsWay) {
  EXPECT_EQ(parse_unwritten("MemTotal: 5 kB\nDirty:  3 kB\nWriteback: 4 kB\nWritebackTmp: 9 kB\n"),
            7u * 1024);
  EXPECT_EQ(parse_unwritten("Dirty: x\n\nWriteback"), 0u);
  EXPECT_EQ(parse_unwritten(""), 0u);
}

}  // namespace
}  // namespace wshare
