#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>

namespace wshare::test {

// Ends the process of a death test: with 0 if no claim was false, else with 1 and all that were.
[[noreturn]] inline void finish_process() {
  const testing::TestResult& result =
      *testing::UnitTest::GetInstance()->current_test_info()->result();
  for (int i = 0; i < result.total_part_count(); ++i) {
    const testing::TestPartResult& part = result.GetTestPartResult(i);
    if (part.failed())
      std::cerr << part.file_name() << ":" << part.line_number() << ": " << part.message() << '\n';
  }
  std::_Exit(result.Failed() ? 1 : 0);
}

}  // namespace wshare::test

// Runs the statements in a process of their own, which is started anew: for what a process can do
// only once. The fixture is made there once more.
#define EXPECT_IN_OWN_PROCESS(...)                  \
  do {                                              \
    GTEST_FLAG_SET(death_test_style, "threadsafe"); \
    EXPECT_EXIT(                                    \
        {                                           \
          __VA_ARGS__;                              \
          ::wshare::test::finish_process();         \
        },                                          \
        testing::ExitedWithCode(0), "");            \
  } while (false)
