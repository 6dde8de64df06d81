#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "support/places.h"

namespace wshare::test {

inline constexpr bool kSanitized = WSHARE_SANITIZED;

constexpr uint64_t kMiB = uint64_t{1} << 20;

struct Limits {
  uint64_t data_bytes = 0;  // RLIMIT_DATA: the heap, stacks of threads, private writable maps
  uint64_t descriptors = 1024;
};

// In a child.
inline void redirect(int descriptor, const std::filesystem::path& path) {
  if (path.empty()) return;
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666);
  if (file < 0 || dup2(file, descriptor) < 0) _exit(126);
  close(file);
}

// The exit code of the program, run in a process of its own with `limits`, and two cores at most:
// threads have stacks, which count. What it prints goes to the files `output` and `errors`, if they
// have names.
inline int run_within(const Limits& limits, std::vector<std::string> arguments,
                      const std::filesystem::path& output = {},
                      const std::filesystem::path& errors = {}) {
  arguments.insert(arguments.begin(), kProgram);
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    cpu_set_t all, two;
    CPU_ZERO(&two);
    if (sched_getaffinity(0, sizeof all, &all) != 0) _exit(126);
    for (size_t cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&two) < 2; ++cpu) {
      if (CPU_ISSET(cpu, &all)) CPU_SET(cpu, &two);
    }
    if (sched_setaffinity(0, sizeof two, &two) != 0) _exit(126);
    redirect(STDOUT_FILENO, output);
    redirect(STDERR_FILENO, errors);
    const rlimit data{limits.data_bytes, limits.data_bytes};
    const rlimit files{limits.descriptors, limits.descriptors};
    if (setrlimit(RLIMIT_DATA, &data) != 0 || setrlimit(RLIMIT_NOFILE, &files) != 0) _exit(126);
    execv(kProgram, pointers.data());
    _exit(127);
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace wshare::test
