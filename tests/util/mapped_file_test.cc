#include "util/mapped_file.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <string>
#include <utility>

#include "wshare/error.h"

namespace fs = std::filesystem;

// AddressSanitizer's own; null without it.
extern "C" __attribute__((weak)) int __asan_address_is_poisoned(const volatile void*);

namespace wshare {
namespace {

class MappedFileTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "wshare-mapped-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { fs::remove_all(folder_); }

  fs::path write(const char* name, const std::string& text) const {
    std::ofstream(folder_ / name, std::ios::binary) << text;
    return folder_ / name;
  }

  static std::string text_of(const MappedFile& file) {
    return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
  }

  fs::path folder_;
};

void expect_io_error(const fs::path& path) {
  SCOPED_TRACE(path);
  try {
    MappedFile::open(path);
    ADD_FAILURE() << "opened";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kIo);
  }
}

TEST_F(MappedFileTest, ShowsTheBytesOfTheFile) {
  const MappedFile file = MappedFile::open(write("a", "some bytes"));
  EXPECT_EQ(text_of(file), "some bytes");
  EXPECT_EQ(file.path(), folder_ / "a");
  EXPECT_NO_THROW(file.check_unchanged());
}

TEST_F(MappedFileTest, EndsWhereTheFileEndsForTheSanitizer) {
  if (__asan_address_is_poisoned == nullptr) GTEST_SKIP() << "without AddressSanitizer";
  const std::byte* end = nullptr;
  {
    const MappedFile file = MappedFile::open(write("a", "some bytes"));
    end = file.bytes().data() + file.bytes().size();
    EXPECT_FALSE(__asan_address_is_poisoned(end - 1));
    EXPECT_TRUE(__asan_address_is_poisoned(end));
    EXPECT_TRUE(__asan_address_is_poisoned(end + 4000));
  }
  EXPECT_FALSE(__asan_address_is_poisoned(end)) << "what is mapped there next is none of its business";
}

TEST_F(MappedFileTest, AcceptsAnEmptyFile) {
  const MappedFile file = MappedFile::open(write("empty", ""));
  EXPECT_TRUE(file.bytes().empty());
  EXPECT_NO_THROW(file.check_unchanged());
  EXPECT_NO_THROW(file.drop_pages());
}

TEST_F(MappedFileTest, RefusesWhatIsNoRegularFile) {
  ASSERT_EQ(mkfifo((folder_ / "fifo").c_str(), 0600), 0);
  fs::create_symlink("nowhere", folder_ / "dangling");
  expect_io_error(folder_);
  expect_io_error(folder_ / "missing");
  expect_io_error(folder_ / "fifo");
  expect_io_error(folder_ / "dangling");
  expect_io_error("/dev/null");
  expect_io_error("");
}

TEST_F(MappedFileTest, KeepsTheMapWhenMoved) {
  MappedFile first = MappedFile::open(write("a", "kept"));
  const MappedFile second = std::move(first);
  EXPECT_EQ(text_of(second), "kept");
  EXPECT_NO_THROW(second.check_unchanged());
}

TEST_F(MappedFileTest, ReadsTheSameAfterDroppingPages) {
  const std::string text(100000, 'x');
  const MappedFile file = MappedFile::open(write("a", text));
  EXPECT_EQ(text_of(file), text);
  file.drop_pages();
  EXPECT_EQ(text_of(file), text);
}

TEST_F(MappedFileTest, KnowsTheSameFileUnderAnotherPath) {
  const MappedFile file = MappedFile::open(write("a", "same"));
  fs::create_hard_link(folder_ / "a", folder_ / "hard");
  fs::create_symlink("a", folder_ / "soft");
  EXPECT_EQ(file.id(), MappedFile::open(folder_ / "hard").id());
  EXPECT_EQ(file.id(), MappedFile::open(folder_ / "soft").id());
  EXPECT_NE(file.id(), MappedFile::open(write("b", "same")).id());
}

TEST_F(MappedFileTest, NoticesThatTheFileChanged) {
  struct Case {
    const char* name;
    std::string text;
  };
  for (const Case& c : {Case{"shrunk", "123"}, Case{"emptied", ""}, Case{"grown", "12345678901"},
                        Case{"same size", "abcdefghij"}}) {
    SCOPED_TRACE(c.name);
    const fs::path path = write("a", "1234567890");
    const auto past = fs::last_write_time(path) - std::chrono::seconds(10);
    fs::last_write_time(path, past);  // so that the change shows on any clock
    const MappedFile file = MappedFile::open(path);
    ASSERT_NO_THROW(file.check_unchanged());
    write("a", c.text);
    EXPECT_THROW(file.check_unchanged(), Error);
    EXPECT_TRUE(file.was_written_to());
  }
}

TEST_F(MappedFileTest, NoticesThatTheNameGoesElsewhere) {
  const MappedFile file = MappedFile::open(write("a", "1234567890"));
  EXPECT_FALSE(file.was_written_to());
  fs::rename(write("b", "other"), folder_ / "a");
  EXPECT_THROW(file.check_unchanged(), Error);
  EXPECT_FALSE(file.was_written_to());
  fs::remove(folder_ / "a");
  EXPECT_FALSE(file.was_written_to());
  EXPECT_EQ(text_of(file), "1234567890");
}

// Runs in a child, as the guard takes SIGBUS over for the whole process. Exits with 0 when all is
// right.
[[noreturn]] void read_a_shrunk_map(const fs::path& path) {
  install_sigbus_guard();
  const MappedFile other = MappedFile::open(path);
  const MappedFile file = MappedFile::open(path);
  fs::resize_file(path, 10);
  size_t zeros = 0;
  for (const std::byte byte : file.bytes().subspan(4096)) zeros += byte == std::byte{0} ? 1 : 0;
  if (zeros != file.bytes().size() - 4096) std::_Exit(1);
  fs::resize_file(path, file.bytes().size());  // the size is right again; the damage remains known
  try {
    file.check_unchanged();
  } catch (const Error& error) {
    std::_Exit(error.code() == ErrorCode::kIo ? 0 : 2);
  }
  std::_Exit(3);
}

TEST_F(MappedFileTest, ReadsZerosFromAShrunkMapUnderTheGuard) {
  const fs::path path = write("a", std::string(5 * 4096 + 100, 'x'));
  EXPECT_EXIT(read_a_shrunk_map(path), testing::ExitedWithCode(0), "");
}

TEST_F(MappedFileTest, EndsTheProcessOnAForeignSigbusUnderTheGuard) {
  EXPECT_EXIT(
      {
        signal(SIGBUS, SIG_DFL);
        install_sigbus_guard();
        raise(SIGBUS);  // the handler does not know the address: the next one is final
        raise(SIGBUS);
        std::_Exit(0);
      },
      testing::KilledBySignal(SIGBUS), "");
}

}  // namespace
}  // namespace wshare
