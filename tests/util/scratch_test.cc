#include "util/scratch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <string>
#include <utility>

#include "wshare/error.h"

namespace wshare {
namespace {

TEST(Scratch, GivesWritableZeroBytesOfAnySize) {
  Scratch scratch;
  for (const size_t size : {size_t{1}, size_t{4096}, size_t{256} << 10, (size_t{256} << 10) + 1,
                            (size_t{3} << 20) + 7}) {
    SCOPED_TRACE(size);
    const std::span<std::byte> piece = scratch.allocate(size);
    ASSERT_EQ(piece.size(), size);
    EXPECT_TRUE(
        std::all_of(piece.begin(), piece.end(), [](std::byte b) { return b == std::byte{0}; }));
    std::fill(piece.begin(), piece.end(), std::byte{0xab});
  }
  EXPECT_EQ(scratch.allocate(0).size(), 0U);
}

TEST(Scratch, KeepsPiecesApartAndAliveWhenMoved) {
  Scratch first;
  const std::span<std::byte> small = first.allocate(100);
  const std::span<std::byte> large = first.allocate(size_t{1} << 20);
  std::fill(small.begin(), small.end(), std::byte{1});
  std::fill(large.begin(), large.end(), std::byte{2});
  Scratch second = std::move(first);
  for (int i = 0; i < 100; ++i) second.allocate(100);
  EXPECT_EQ(std::count(small.begin(), small.end(), std::byte{1}), 100);
  EXPECT_EQ(std::count(large.begin(), large.end(), std::byte{2}), 1 << 20);
}

TEST(Scratch, ReportsThatThereIsNoRoomWithTheCause) {
  Scratch scratch;
  try {
    scratch.allocate(std::numeric_limits<size_t>::max() / 2);
    ADD_FAILURE() << "allocated";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kIo);
    EXPECT_NE(error.hint(), "");
    EXPECT_EQ(std::string(error.what()).find("Success"), std::string::npos) << error.what();
  }
}

TEST(Scratch, ReportsAMissingTemporaryFolderAsIoError) {
  const char* before = std::getenv("TMPDIR");
  const std::string saved = before != nullptr ? before : "";
  setenv("TMPDIR", "/nonexistent-wshare", 1);
  Scratch scratch;
  EXPECT_THROW(scratch.allocate(size_t{1} << 20), Error);
  EXPECT_NO_THROW(scratch.allocate(100));  // small pieces need no file
  if (before != nullptr) {
    setenv("TMPDIR", saved.c_str(), 1);
  } else {
    unsetenv("TMPDIR");
  }
}

}  // namespace
}  // namespace wshare
