#include "util/parallel.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace wshare {
namespace {

TEST(ThreadCount, IsWhatWasAskedElseAtLeastOne) {
  EXPECT_EQ(thread_count(1), 1U);
  EXPECT_EQ(thread_count(7), 7U);
  EXPECT_GE(thread_count(0), 1U);
}

TEST(ParallelFor, CallsEachIndexOnce) {
  for (const size_t count : {size_t{0}, size_t{1}, size_t{2}, size_t{1000}}) {
    for (const unsigned threads : {0U, 1U, 2U, 8U}) {
      SCOPED_TRACE(std::to_string(count) + " on " + std::to_string(threads));
      std::vector<std::atomic<int>> calls(count);
      parallel_for(count, threads, [&](size_t i) { ++calls.at(i); });
      for (size_t i = 0; i < count; ++i) EXPECT_EQ(calls[i], 1) << i;
    }
  }
}

#ifndef __SANITIZE_ADDRESS__  // which needs the memory itself
TEST(ParallelFor, GoesOnWithFewerThreads) {
  const pid_t child = fork();
  if (child == 0) {
    rlimit limit{};
    getrlimit(RLIMIT_AS, &limit);
    limit.rlim_cur = 1;  // no room for the stack of a thread
    setrlimit(RLIMIT_AS, &limit);
    bool no_thread = false;
    for (int i = 0; i < 1000 && !no_thread; ++i) {  // until no kept stack is left
      try {
        std::thread(pause).detach();
      } catch (const std::system_error&) {
        no_thread = true;
      }
    }
    std::array<bool, 100> called{};
    parallel_for(called.size(), 4, [&](size_t i) { called.at(i) = true; });
    _exit(no_thread && std::count(called.begin(), called.end(), true) == 100 ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}
#endif

TEST(ParallelFor, RunsInOrderInTheCallerOnOneThread) {
  std::vector<size_t> seen;
  const std::thread::id caller = std::this_thread::get_id();
  parallel_for(5, 1, [&](size_t i) {
    EXPECT_EQ(std::this_thread::get_id(), caller);
    seen.push_back(i);
  });
  EXPECT_EQ(seen, (std::vector<size_t>{0, 1, 2, 3, 4}));
}

TEST(ParallelFor, RethrowsTheExceptionInTheCaller) {
  for (const unsigned threads : {1U, 2U, 8U}) {
    SCOPED_TRACE(threads);
    try {
      parallel_for(100, threads, [](size_t i) {
        if (i == 42) throw std::runtime_error("index 42");
      });
      ADD_FAILURE() << "no exception";
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "index 42");
    }
  }
}

TEST(ParallelFor, HandsOutNoIndexAfterAnExceptionOnOneThread) {
  int calls = 0;
  EXPECT_THROW(parallel_for(100, 1,
                            [&](size_t i) {
                              ++calls;
                              if (i == 3) throw std::runtime_error("stop");
                            }),
               std::runtime_error);
  EXPECT_EQ(calls, 4);
}

TEST(ParallelFor, SurvivesExceptionsOnAllThreads) {
  std::atomic<int> calls{0};
  EXPECT_THROW(parallel_for(1000000, 8,
                            [&](size_t) {
                              ++calls;
                              throw std::runtime_error("all");
                            }),
               std::runtime_error);
  EXPECT_LE(calls, 8);
}

}  // namespace
}  // namespace wshare
