#include "util/file_calls.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>

#include "support/bytes.h"
#include "support/errors.h"
#include "support/file_probe.h"
#include "support/files.h"
#include "util/output_file.h"
#include "util/scratch.h"

namespace wshare {
namespace {

using test::FileProbe;
using test::read_file;
using Kind = FileCall::Kind;

TEST(FileCalls, AreMadeAgainWhenInterrupted) {
  const test::TempFolder folder;
  int number = 0;
  const FileProbe every_second(
      [&](FileCall&) { return number++ % 2 == 0 ? EINTR : FileCallProbe::kMake; });
  OutputFile file(folder / "a", size_t{2} << 20);
  file.write("text");
  file.close();
  EXPECT_EQ(read_file(folder / "a"), "text");
}

TEST(FileCalls, GoOnAfterAShortWrite) {
  const test::TempFolder folder;
  const std::string text = test::noise(1000, 1);
  const FileProbe shortened([](FileCall& call) {
    if (call.kind == Kind::kWrite) call.size = std::min<size_t>(call.size, 7);
    return FileCallProbe::kMake;
  });
  OutputFile file(folder / "a");
  file.write(text);
  file.close();
  EXPECT_EQ(read_file(folder / "a"), text);
  EXPECT_EQ(std::count(shortened.kinds().begin(), shortened.kinds().end(), Kind::kWrite), 143);
}

TEST(OutputFile, IsSyncedByItsWriterAfterTheLastWrite) {
  const test::TempFolder folder;
  for (const auto kind : {OutputFile::Kind::kDurable, OutputFile::Kind::kTemporary}) {
    const FileProbe probe([](FileCall&) { return FileCallProbe::kMake; });
    OutputFile file(folder / std::to_string(static_cast<int>(kind)), 0, kind);
    file.write("text");
    file.close();
    std::vector<Kind> expected = {Kind::kOpen, Kind::kWrite, Kind::kSync, Kind::kClose};
    if (kind == OutputFile::Kind::kTemporary) std::erase(expected, Kind::kSync);
    EXPECT_TRUE(probe.kinds() == expected);
  }
}

// The system tells of a failed transfer once: fdatasync would then say that all is well.
TEST(OutputFile, DropsNoErrorOfAnEarlyTransfer) {
  const test::TempFolder folder;
  const std::string text(size_t{9} << 20, 'x');
  for (const int error : {EIO, ENOSPC, EDQUOT}) {
    const FileProbe probe(Kind::kStartSync, error);
    OutputFile file(folder / std::to_string(error));
    EXPECT_EQ(test::code_of([&] { file.write(text); }), 3) << error;
  }
  const FileProbe probe(Kind::kStartSync, EINVAL);  // a file system that cannot
  OutputFile file(folder / "a");
  EXPECT_NO_THROW(file.write(text));
}

TEST(OutputFile, NeedsNoReservation) {
  const test::TempFolder folder;
  for (const int error : {EOPNOTSUPP, EINVAL, ENOSYS}) {
    const std::string name = std::to_string(error);
    const FileProbe probe(Kind::kAllocate, error);
    OutputFile file(folder / name, size_t{2} << 20);
    file.write("text");
    file.close();
    EXPECT_EQ(read_file(folder / name), "text");
  }
}

TEST(OutputFile, LeavesNothingWhereThereIsNoRoom) {
  const test::TempFolder folder;
  const FileProbe probe(Kind::kAllocate, ENOSPC);
  EXPECT_EQ(test::code_of([&] { OutputFile(folder / "a", size_t{2} << 20); }), 3);
  EXPECT_TRUE(test::names_in(folder.path()).empty());
}

TEST(Scratch, NeedsNeitherNamelessFilesNorReservation) {
  constexpr size_t kSize = (size_t{1} << 20) + 3;
  for (const Kind missing : {Kind::kOpen, Kind::kAllocate}) {
    const FileProbe probe(missing, EOPNOTSUPP);
    Scratch scratch;
    const std::span<std::byte> bytes = scratch.allocate(kSize);
    ASSERT_EQ(bytes.size(), kSize);
    EXPECT_EQ(static_cast<size_t>(std::count(bytes.begin(), bytes.end(), std::byte{0})), kSize);
    bytes.back() = std::byte{1};
  }
}

}  // namespace
}  // namespace wshare
