#include "compare/low_rank/blas.h"

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <optional>
#include <stdexcept>
#include <thread>

namespace wshare {
namespace {

// The number of threads that the process's OpenBLAS uses. It is 3 before each test, whatever the
// machine has.
class SingleThreaded : public testing::Test {
 protected:
  SingleThreaded() {
    { const blas::SingleThreaded loads(1); }
    void* library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_NOLOAD);
    get_ = reinterpret_cast<int (*)()>(dlsym(library, "openblas_get_num_threads"));
    set_ = reinterpret_cast<void (*)(int)>(dlsym(library, "openblas_set_num_threads"));
    set_(3);
  }

  int (*get_)();
  void (*set_)(int);
};

TEST_F(SingleThreaded, GivesTheNumberOfThreadsBackInAnyOrder) {
  std::optional<blas::SingleThreaded> first(std::in_place, 1), second(std::in_place, 1);
  EXPECT_EQ(get_(), 1);
  first.reset();
  EXPECT_EQ(get_(), 1);  // the other one still needs it
  second.reset();
  EXPECT_EQ(get_(), 3);
}

TEST_F(SingleThreaded, GivesTheNumberOfThreadsBackAfterAnException) {
  EXPECT_THROW(
      {
        const blas::SingleThreaded single(1);
        throw std::runtime_error("");
      },
      std::runtime_error);
  EXPECT_EQ(get_(), 3);
}

TEST_F(SingleThreaded, GivesTheNumberOfThreadsBackWhenManyCome) {
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 8; ++i) {
      threads.emplace_back([&] {
        for (int k = 0; k < 200; ++k) {
          const blas::SingleThreaded single(2);
          EXPECT_EQ(get_(), 1);
        }
      });
    }
  }
  EXPECT_EQ(get_(), 3);
}

TEST_F(SingleThreaded, KeepsWhatSomebodyElseSets) {
  {
    const blas::SingleThreaded single(1);
    set_(2);
  }
  EXPECT_EQ(get_(), 2);
}

TEST_F(SingleThreaded, HasMemoryForAllWhoCall) {
  const blas::SingleThreaded single(4);
  EXPECT_EQ(single.callers(), 4u);
}

}  // namespace
}  // namespace wshare
