// extract-lora where the process may have little address space: OpenBLAS tries for ever to get what
// it needs, and ends the process where it cannot start its threads.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "extract_lora/extract_test.h"
#include "support/places.h"

namespace wshare::test {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

class SmallMemory : public ExtractTest {
 protected:
  // Returns how extract-lora of "task.onnx" ended with `mib` of address space, as waitpid() says.
  // One that works or waits without an end is killed.
  int extract_within(uint64_t mib) {
    std::vector<std::string> arguments = {
        "wshare", "extract-lora", path("in/task.onnx"), "--base", path("in/base.onnx"),
        "-o",     path("bundle"), "--threads",          "4"};
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    const std::string errors = path("err");
    const pid_t child = fork();
    if (child == 0) {
      const rlimit space = {mib * kMiB, mib * kMiB}, seconds = {60, 60}, no_core = {0, 0};
      setrlimit(RLIMIT_CPU, &seconds);
      setrlimit(RLIMIT_CORE, &no_core);
      alarm(200);
      if (freopen(errors.c_str(), "w", stderr) == nullptr) _exit(99);
      setrlimit(RLIMIT_AS, &space);
      execv(kProgram, argv.data());
      _exit(98);
    }
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return status;
  }
};

TEST_F(SmallMemory, EndsWithABundleOrSaysWhatIsMissing) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "A SANITIZER NEEDS MEMORY OF ITS OWN: NOTHING WAS TESTED";
#endif
  add_merged({"0.q", "1.v"}, 2);
  bool failed = false, worked = false;
  for (uint64_t mib = 60; mib <= 420; mib += 15) {
    SCOPED_TRACE(std::to_string(mib) + " MiB");
    forget();
    const int status = extract_within(mib);
    ASSERT_TRUE(WIFEXITED(status)) << "signal " << WTERMSIG(status);
    const std::string errors = read_file(temp_ / "err");
    // Below what the program itself takes, the loader ends it with 127.
    if (WEXITSTATUS(status) == 127) continue;
    if (WEXITSTATUS(status) == 0) {
      worked = true;
      expect_whole({"base.onnx", "task.onnx"});
      continue;
    }
    EXPECT_EQ(WEXITSTATUS(status), 3) << errors;
    EXPECT_EQ(errors.find("bug"), std::string::npos) << errors;
    EXPECT_FALSE(std::filesystem::exists(temp_ / "bundle"));
    failed = failed || errors.find("OpenBLAS") != std::string::npos;
  }
  EXPECT_TRUE(failed);
  EXPECT_TRUE(worked);
}

}  // namespace
}  // namespace wshare::test
