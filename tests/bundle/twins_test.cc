#include "bundle/twins.h"

#include <gtest/gtest.h>

#include <string>

#include "support/files.h"

namespace wshare {
namespace {

using test::bytes_of;
using test::noise;

// The transpose of `matrix`, [rows, cols], element by element.
std::string transposed(const std::string& matrix, size_t rows, size_t cols, size_t element) {
  std::string result;
  for (size_t col = 0; col < cols; ++col) {
    for (size_t row = 0; row < rows; ++row) {
      result += matrix.substr((row * cols + col) * element, element);
    }
  }
  return result;
}

// The twins among `matrices`; view i is of matrix i.
std::vector<std::pair<uint32_t, uint32_t>> twins_of(const std::vector<std::string>& matrices,
                                                    const std::vector<ContentMatrix>& views,
                                                    unsigned threads = 2) {
  std::vector<Content> contents;
  for (const std::string& matrix : matrices) contents.push_back({bytes_of(matrix), {}, {}});
  std::vector<std::pair<uint32_t, uint32_t>> result;
  for (const Twin& twin : find_twins(contents, views, threads)) {
    result.emplace_back(twin.content, twin.transpose_of);
  }
  return result;
}

using Pairs = std::vector<std::pair<uint32_t, uint32_t>>;

TEST(FindTwins, FindsATransposeOfAnyShapeAndElementSize) {
  struct Case {
    const char* name;
    size_t rows, cols;
    uint32_t element;
  };
  for (const Case& c :
       {Case{"bytes", 3, 5, 1}, Case{"two rows", 2, 1000, 2}, Case{"two columns", 1000, 2, 2},
        Case{"square", 64, 64, 4}, Case{"one more than a block", 65, 64, 4},
        Case{"several blocks", 130, 200, 4}, Case{"double", 70, 9, 8},
        Case{"complex128", 66, 3, 16}, Case{"more than a piece", 1500, 1000, 4}}) {
    SCOPED_TRACE(c.name);
    const std::string a = noise(c.rows * c.cols * c.element, 1);
    const std::string b = transposed(a, c.rows, c.cols, c.element);
    const std::vector<ContentMatrix> views = {{0, c.rows, c.cols, c.element},
                                           {1, c.cols, c.rows, c.element}};
    for (const unsigned threads : {1U, 2U, 7U}) {
      EXPECT_EQ(twins_of({a, b}, views, threads), (Pairs{{1, 0}}));
    }
    // The same elements in another order: only the comparison can tell. The last two of `b` differ.
    std::string swapped = b;
    const size_t last = b.size() - c.element;
    std::swap_ranges(swapped.begin() + static_cast<ptrdiff_t>(last - c.element),
                     swapped.begin() + static_cast<ptrdiff_t>(last),
                     swapped.begin() + static_cast<ptrdiff_t>(last));
    ASSERT_NE(swapped, b);
    EXPECT_EQ(twins_of({a, swapped}, views), Pairs{});
    EXPECT_EQ(twins_of({swapped, a, b}, {{0, c.cols, c.rows, c.element},
                                         {1, c.rows, c.cols, c.element},
                                         {2, c.cols, c.rows, c.element}}),
              (Pairs{{2, 1}}));
  }
}

TEST(FindTwins, TakesTheElementSizeFromTheView) {
  const std::string a = noise(6 * 4, 1);  // [2, 3] of 4 bytes, or [2, 6] of 2, or [2, 12] of 1
  EXPECT_EQ(twins_of({a, transposed(a, 2, 3, 4)}, {{0, 2, 3, 4}, {1, 3, 2, 4}}), (Pairs{{1, 0}}));
  EXPECT_EQ(twins_of({a, transposed(a, 2, 3, 4)}, {{0, 2, 6, 2}, {1, 6, 2, 2}}), Pairs{});
  EXPECT_EQ(twins_of({a, transposed(a, 2, 6, 2)}, {{0, 2, 6, 2}, {1, 6, 2, 2}}), (Pairs{{1, 0}}));
  EXPECT_EQ(twins_of({a, transposed(a, 2, 3, 4)}, {{0, 2, 3, 4}, {1, 6, 2, 2}}), Pairs{});
}

TEST(FindTwins, CountsEachContentOnceAndNoneAsItsOwn) {
  const std::string symmetric("abcbdecef");  // [3, 3]
  EXPECT_EQ(twins_of({symmetric}, {{0, 3, 3, 1}}), Pairs{});
  const std::string equal(6, 'x');  // equal to its transpose under another shape
  EXPECT_EQ(twins_of({equal}, {{0, 2, 3, 1}, {0, 3, 2, 1}}), Pairs{});
  // 1 is the transpose of 0 as [2, 3] and of 2 as [3, 2] of its own bytes: a chain saves two.
  const std::string a = "abcdef";
  const std::string b = transposed(a, 2, 3, 1);
  const std::string c = transposed(b, 2, 3, 1);
  EXPECT_EQ(twins_of({a, b, c}, {{0, 2, 3, 1}, {1, 3, 2, 1}, {1, 2, 3, 1}, {2, 3, 2, 1}}),
            (Pairs{{1, 0}, {2, 1}}));
  // Twice the same view adds nothing.
  EXPECT_EQ(twins_of({a, b}, {{0, 2, 3, 1}, {1, 3, 2, 1}, {0, 2, 3, 1}, {1, 3, 2, 1}}),
            (Pairs{{1, 0}}));
}

TEST(FindTwins, LeavesOutTwoThatTakeNoBytes) {
  const std::string a = noise(6, 1);
  const std::string b = transposed(a, 2, 3, 1);
  const std::string longer_a = a + "-", longer_b = b + "-";
  std::vector<Content> contents = {{bytes_of(a), {}, 2},
                                   {bytes_of(b), {}, 3},
                                   {bytes_of(longer_a), {}, {}},
                                   {bytes_of(longer_b), {}, {}}};
  const std::vector<ContentMatrix> views = {{0, 2, 3, 1}, {1, 3, 2, 1}};
  EXPECT_EQ(find_twins(contents, views, 1).size(), 0u);
  contents[1].host.reset();
  EXPECT_EQ(find_twins(contents, views, 1).size(), 1u);
}

TEST(FindTwins, ReadsElementsThatAreNotAligned) {
  const std::string a = noise(8 * 5 * 7, 1);
  const std::string shifted = "-" + a, other = "---" + transposed(a, 5, 7, 8);
  const std::vector<Content> contents = {{bytes_of(shifted).subspan(1), {}, {}},
                                         {bytes_of(other).subspan(3), {}, {}}};
  EXPECT_EQ(find_twins(contents, {{0, 5, 7, 8}, {1, 7, 5, 8}}, 1).size(), 1u);
}

}  // namespace
}  // namespace wshare
