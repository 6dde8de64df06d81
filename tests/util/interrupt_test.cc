#include "util/interrupt.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <functional>
#include <thread>

#include "support/files.h"
#include "util/output_folder.h"
#include "util/temporary_folder.h"

namespace wshare::test {
namespace {

// Runs `work` in a process that stops cleanly; sends it `signal` once it has called `ready`;
// returns the status of waitpid().
int interrupt(int signal, const std::function<void(const std::function<void()>& ready)>& work,
              const fs::path& said) {
  std::array<int, 2> ends{};
  EXPECT_EQ(pipe(ends.data()), 0);
  const pid_t child = fork();
  if (child == 0) {
    stop_cleanly_on_signals([&](bool clean) { write_file(said, clean ? "clean" : "not clean"); });
    work([&] { EXPECT_EQ(write(ends[1], "r", 1), 1); });
    _exit(0);
  }
  close(ends[1]);
  char byte = 0;
  EXPECT_EQ(read(ends[0], &byte, 1), 1);
  close(ends[0]);
  kill(child, signal);
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return status;
}

TEST(Interrupt, RemovesWhatIsHalfDoneAndEndsByTheSignal) {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    SCOPED_TRACE(signal);
    const TempFolder temp;
    const int status = interrupt(
        signal,
        [&](const auto& ready) {
          setenv("TMPDIR", temp.path().c_str(), 1);
          const TemporaryFolder scratch;
          OutputFolder folder(temp / "bundle", false);
          OutputFile(folder.path() / "file").write("half");
          ready();
          pause();
        },
        temp / "said");
    ASSERT_TRUE(WIFSIGNALED(status)) << status;
    EXPECT_EQ(WTERMSIG(status), signal);
    EXPECT_EQ(names_in(temp.path()), std::vector<std::string>{"said"});
    EXPECT_EQ(read_file(temp / "said"), "clean");
  }
}

TEST(Interrupt, LeavesNothingOfThreadsThatGoOnWriting) {
  const TempFolder temp;
  const int status = interrupt(
      SIGTERM,
      [&](const auto& ready) {
        OutputFolder folder(temp / "bundle", false);
        std::atomic<int> number{0};
        const auto work = [&] {
          for (;;) OutputFile(folder.path() / std::to_string(number++)).write("half");
        };
        std::thread one(work), two(work);
        while (number < 100) std::this_thread::yield();
        ready();
        one.join();
      },
      temp / "said");
  ASSERT_TRUE(WIFSIGNALED(status)) << status;
  EXPECT_EQ(names_in(temp.path()), std::vector<std::string>{"said"});
}

TEST(Interrupt, WaitsForAStepThatMustBeWhole) {
  const TempFolder temp;
  interrupt(
      SIGINT,
      [&](const auto& ready) {
        const Unstoppable both;
        write_file(temp / "first", "");
        ready();
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
        const Unstoppable nested;
        write_file(temp / "second", "");
      },
      temp / "said");
  EXPECT_TRUE(fs::exists(temp / "second"));
}

TEST(Interrupt, LeavesIgnoredSignalsAlone) {
  const TempFolder temp;
  const int status = interrupt(
      SIGHUP,
      [&](const auto& ready) {
        ready();
        pause();
      },
      temp / "said");
  EXPECT_TRUE(WIFSIGNALED(status));
  std::signal(SIGHUP, SIG_IGN);  // as under nohup
  interrupt(
      SIGHUP,
      [&](const auto& ready) {
        ready();
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
        write_file(temp / "went on", "");
      },
      temp / "said");
  std::signal(SIGHUP, SIG_DFL);
  EXPECT_TRUE(fs::exists(temp / "went on"));
}

}  // namespace
}  // namespace wshare::test
