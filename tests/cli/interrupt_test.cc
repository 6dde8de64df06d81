// A command that is interrupted leaves what was there, or all that it was to make.

#include <sys/resource.h>
#include <sys/wait.h>

#include <chrono>
#include <csignal>
#include <ctime>
#include <thread>

#include "support/cli_test.h"
#include "support/spawn.h"

namespace wshare::test {
namespace {

using std::chrono::microseconds;
using std::chrono::seconds;

struct Ended {
  int status = 0;            // as of waitpid()
  microseconds cpu_time{0};  // that the process took
};

// The CPU time that `child` took until now; `most` if it has ended.
microseconds cpu_time(pid_t child, microseconds most) {
  siginfo_t info{};
  if (waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
      info.si_pid == child) {
    return most;
  }
  clockid_t clock{};
  timespec time{};
  EXPECT_EQ(clock_getcpuclockid(child, &clock), 0);
  EXPECT_EQ(clock_gettime(clock, &time), 0);
  return seconds(time.tv_sec) + microseconds(time.tv_nsec / 1000);
}

class Interrupted : public CliTest {
 protected:
  Interrupted() {
    for (const char* name : {"a", "b"}) {
      add(std::string(name) + ".onnx", {raw("trunk", noise(4 << 20, 1)),
                                        raw("head", noise(4 << 20, static_cast<uint32_t>(*name)))});
    }
  }

  // Runs wshare and sends it `signal` when it has taken `moment` of CPU time: unlike the time of
  // the clock, this says how far it is, however busy the machine.
  Ended interrupt(std::vector<std::string> arguments, microseconds moment, int signal) {
    const pid_t child = spawn_wshare(std::move(arguments), temp_.path());
    while (cpu_time(child, moment) < moment) std::this_thread::sleep_for(microseconds(100));
    kill(child, signal);
    Ended ended;
    rusage usage{};
    EXPECT_EQ(wait4(child, &ended.status, 0, &usage), child);
    for (const timeval& time : {usage.ru_utime, usage.ru_stime}) {
      ended.cpu_time += seconds(time.tv_sec) + microseconds(time.tv_usec);
    }
    return ended;
  }

  // Interrupts `arguments` at many moments, `reset` before each; after each, `expect_whole`.
  void interrupt_often(const std::vector<std::string>& arguments,
                       const std::function<void()>& reset,
                       const std::function<void()>& expect_whole) {
    constexpr int kMoments = 12, kMost = 120;
    reset();
    const Ended undisturbed = interrupt(arguments, microseconds(0), 0);
    ASSERT_EQ(undisturbed.status, 0);
    // On a busy machine a signal may come late, so it goes on until enough of them were inside.
    int spoken = 0;
    for (int try_number = 0; try_number < kMost && (try_number < kMoments || spoken < 3);
         ++try_number) {
      SCOPED_TRACE(try_number);
      reset();
      const int status =
          interrupt(arguments, undisturbed.cpu_time * (try_number % kMoments) / kMoments,
                    try_number % 2 == 0 ? SIGINT : SIGTERM)
              .status;
      ASSERT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0) << status;
      if (WIFSIGNALED(status)) {
        const std::string said = read_file(temp_ / "err");
        // The first moments belong to the system's loader.
        EXPECT_TRUE(said.empty() || said == "wshare: interrupted; nothing half done stays behind\n")
            << said;
        if (!said.empty()) ++spoken;
      }
      expect_whole();
    }
    EXPECT_GE(spoken, 3);
  }
};

TEST_F(Interrupted, DedupeLeavesAWholeBundleOrNone) {
  interrupt_often(
      {"dedupe", path("in"), "-o", path("bundle")}, [&] { fs::remove_all(temp_ / "bundle"); },
      [&] {
        const bool is_there = fs::exists(temp_ / "bundle");
        if (is_there) {
          EXPECT_EQ(run({"verify", path("bundle")}), 0) << out_ << err_;
        }
        EXPECT_EQ(names_in(temp_.path()),
                  is_there ? (std::vector<std::string>{"bundle", "err", "in", "out"})
                           : (std::vector<std::string>{"err", "in", "out"}));
      });
}

TEST_F(Interrupted, AppendLeavesTheOldBundleOrTheNewOne) {
  ASSERT_EQ(run({"dedupe", path("in/a.onnx"), "-o", path("old")}), 0) << err_;
  const auto old = names_in(temp_ / "old");
  ASSERT_EQ(run({"dedupe", path("in/a.onnx"), "-o", path("new")}), 0) << err_;
  ASSERT_EQ(run({"append", path("new"), path("in/b.onnx")}), 0) << err_;
  const auto both = names_in(temp_ / "new");
  interrupt_often(
      {"append", path("bundle"), path("in/b.onnx")},
      [&] {
        fs::remove_all(temp_ / "bundle");
        fs::copy(temp_ / "old", temp_ / "bundle");
      },
      [&] {
        const auto names = names_in(temp_ / "bundle");
        EXPECT_TRUE(names == old || names == both);
        EXPECT_EQ(run({"verify", path("bundle")}), 0) << out_ << err_;
      });
}

TEST_F(Interrupted, RestoreLeavesAllFilesOrNone) {
  ASSERT_EQ(run({"dedupe", path("in"), "-o", path("bundle")}), 0) << err_;
  interrupt_often(
      {"restore", path("bundle"), "-o", path("back")}, [&] { fs::remove_all(temp_ / "back"); },
      [&] {
        if (fs::exists(temp_ / "back")) {
          EXPECT_EQ(files_in(temp_ / "back"), files_in(temp_ / "in"));
        }
      });
}

TEST_F(Interrupted, ReportIsTheOldOneOrTheNewOne) {
  const std::vector<std::string> report = {"inspect", path("in"), "--html", path("report.html")};
  ASSERT_EQ(run(report), 0) << err_;
  const std::string both = read_file(temp_ / "report.html");
  ASSERT_EQ(run({"inspect", path("in/a.onnx"), "--html", path("report.html")}), 0) << err_;
  const std::string one = read_file(temp_ / "report.html");
  ASSERT_NE(one, both);
  interrupt_often(
      report, [&] { write_file(temp_ / "report.html", one); },
      [&] {
        const std::string page = read_file(temp_ / "report.html");
        EXPECT_TRUE(page == one || page == both);
        EXPECT_EQ(names_in(temp_.path()),
                  (std::vector<std::string>{"err", "in", "out", "report.html"}));
      });
}

}  // namespace
}  // namespace wshare::test
