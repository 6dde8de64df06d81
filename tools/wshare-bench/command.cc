#include "command.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "util/stopwatch.h"

namespace {

// KiB of anonymous memory that the process has now; 0 at its end.
uint64_t anonymous_kib(pid_t process) {
  std::ifstream status("/proc/" + std::to_string(process) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssAnon:")) return std::stoull(line.substr(8));
  }
  return 0;
}

double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
}

void measure_command(const std::vector<std::string>& arguments) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const wshare::Stopwatch watch;
  const pid_t child = fork();
  if (child == 0) {
    const int nowhere = open("/dev/null", O_WRONLY);
    if (nowhere < 0 || dup2(nowhere, STDOUT_FILENO) < 0) _exit(126);
    execvp(argv[0], argv.data());
    _exit(127);
  }
  if (child < 0) throw std::runtime_error("fork");
  uint64_t peak = 0;
  int status = 0;
  rusage used{};
  while (wait4(child, &status, WNOHANG, &used) == 0) {
    peak = std::max(peak, anonymous_kib(child));
    usleep(1000);
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) > 1) throw std::runtime_error("the command failed");
  std::printf("%.2f s, %.2f s of CPU, %.0f MiB anonymous\n", watch.milliseconds() / 1000,
              seconds(used.ru_utime) + seconds(used.ru_stime), static_cast<double>(peak) / 1024);
}

}  // namespace

void add_command_command(CLI::App& app) {
  const auto arguments = std::make_shared<std::vector<std::string>>();
  CLI::App* command = app.add_subcommand(
      "command", "What a command takes; behind --, which ends with 0 or 1. It prints nothing.");
  command->add_option("COMMAND", *arguments, "With its arguments")->required();
  command->callback([=] { measure_command(*arguments); });
}
