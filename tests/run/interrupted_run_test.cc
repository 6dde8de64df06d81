// A run that is interrupted while plain sessions are measured on restored originals leaves neither
// the originals nor a process.

#include <sys/wait.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <functional>
#include <thread>

#include "run/run_command.h"
#include "support/spawn.h"

namespace wshare::test {
namespace {

// The process whose parent is `parent`; 0 if there is none.
pid_t child_of(pid_t parent) {
  const std::string id = std::to_string(parent);
  pid_t child = 0;
  std::ifstream("/proc/" + id + "/task/" + id + "/children") >> child;
  return child;
}

// Waits until `is_true`; false if that takes a minute.
bool wait_until(const std::function<bool()>& is_true) {
  for (int i = 0; i < 6000; ++i) {
    if (is_true()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

bool is_running(pid_t process) {
  std::error_code gone;  // also of one that has ended and is not waited for
  return !fs::read_symlink("/proc/" + std::to_string(process) + "/exe", gone).empty();
}

TEST_F(RunCommand, InterruptedLeavesNeitherOriginalsNorAProcess) {
  fs::create_directory(temp_ / "tmp");
  const pid_t run = spawn_wshare({"run", path("bundle"), "--baseline", "--repeat=100000"},
                                 temp_.path(), {"TMPDIR=" + path("tmp")});
  pid_t plain = 0;
  ASSERT_TRUE(wait_until([&] {
    const bool restored = !fs::is_empty(temp_ / "tmp");
    plain = child_of(run);
    return (restored && plain != 0) || !is_running(run);
  }));
  kill(run, SIGTERM);
  int status = 0;
  ASSERT_EQ(waitpid(run, &status, 0), run);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM) << status;
  EXPECT_EQ(read_file(temp_ / "err"), "wshare: interrupted; nothing half done stays behind\n");
  EXPECT_EQ(read_file(temp_ / "out"), "");
  EXPECT_TRUE(fs::is_empty(temp_ / "tmp"));
  EXPECT_TRUE(wait_until([&] { return !is_running(plain); }));
}

}  // namespace
}  // namespace wshare::test
