#include "util/name_table.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace wshare {
namespace {

TEST(NameTable, NumbersNamesInTheOrderInWhichTheyCome) {
  std::vector<std::string> names;
  for (int i = 0; i < 5000; ++i) names.push_back("weight_" + std::to_string(i));
  for (const size_t room : {size_t{0}, size_t{3}, names.size(), 3 * names.size()}) {
    SCOPED_TRACE(room);
    NameTable table;
    table.reserve(room);
    EXPECT_FALSE(table.find("weight_0"));
    for (uint32_t i = 0; i < names.size(); ++i) {
      EXPECT_EQ(table.add(names[i]), i);
      EXPECT_EQ(table.add(names[i / 2]), i / 2);
    }
    EXPECT_EQ(table.size(), names.size());
    for (uint32_t i = 0; i < names.size(); ++i) {
      EXPECT_EQ(table.find(std::string(names[i])), i);
      EXPECT_EQ(table[i], names[i]);
    }
    EXPECT_FALSE(table.find("weight_5000"));
    EXPECT_FALSE(table.find(""));
  }
}

TEST(NameTable, HasNamesOfAnyBytes) {
  NameTable table;
  EXPECT_EQ(table.add(""), 0u);
  EXPECT_EQ(table.add(std::string_view("\0", 1)), 1u);
  EXPECT_EQ(table.add(std::string_view("\0\0", 2)), 2u);
  EXPECT_EQ(table.add(""), 0u);
  EXPECT_EQ(table.size(), 3u);
}

}  // namespace
}  // namespace wshare
