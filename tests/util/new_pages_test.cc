#include "util/new_pages.h"

#include <unistd.h>

#include <fstream>
#include <optional>

#include "support/files.h"
#include "util/mapped_file.h"

namespace wshare::test {
namespace {

class NewPagesOfAFile : public testing::Test {
 protected:
  static constexpr size_t kPages = 1024;

  NewPagesOfAFile() {
    // In pieces: of a file that is written at once the system keeps, and maps, large pieces.
    std::ofstream file(temp_ / "file");
    for (size_t i = 0; i < kPages; ++i) file << std::string(page_, 'x') << std::flush;
    file.close();
    file_.emplace(MappedFile::open(temp_ / "file"));
  }

  // The system maps up to 15 neighbours, too.
  void read(size_t page) { last_ = file_->bytes()[page * page_]; }
  bool has(size_t page) { return resident_pages(file_->bytes()).at(page); }

  TempFolder temp_;
  const size_t page_ = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  std::optional<MappedFile> file_;
  volatile std::byte last_{};
};

TEST_F(NewPagesOfAFile, GoAndThoseBeforeStay) {
  EXPECT_EQ(resident_pages(file_->bytes()), std::vector<bool>(kPages));
  for (const size_t page : {0u, 300u, 1023u}) read(page);
  NewPages pages;
  pages.watch(file_->bytes());
  for (const size_t page : {150u, 600u, 1000u}) read(page);
  EXPECT_TRUE(has(600));
  pages.drop();
  for (const size_t page : {0u, 300u, 1023u}) EXPECT_TRUE(has(page)) << page;
  for (const size_t page : {150u, 600u, 1000u}) EXPECT_FALSE(has(page)) << page;
}

TEST_F(NewPagesOfAFile, AreThoseOfThePiecesThatAreWatched) {
  NewPages pages;
  pages.watch(file_->bytes().subspan(100 * page_ + 5, 3));
  pages.watch(file_->bytes().subspan(500 * page_ + 1, page_));  // of two pages
  pages.watch({});
  for (const size_t page : {100u, 300u, 500u, 501u}) read(page);
  pages.drop();
  EXPECT_FALSE(has(100));
  EXPECT_TRUE(has(300));
  EXPECT_FALSE(has(500));
  EXPECT_FALSE(has(501));
}

}  // namespace
}  // namespace wshare::test
