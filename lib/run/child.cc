#include "run/child.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "util/interrupt.h"
#include "util/text.h"
#include "wshare/error.h"

extern char** environ;

namespace wshare {
namespace {

[[noreturn]] void fail(const std::filesystem::path& program, const std::string& what,
                       const std::string& hint = {}) {
  throw Error(ErrorCode::kRuntime, "the child process " + in_quotes(program.string()) + " " + what,
              hint);
}

// The two ends of a pipe, which no other child inherits; closed with the object.
struct Pipe {
  explicit Pipe(const std::filesystem::path& program) {
    if (::pipe2(ends.data(), O_CLOEXEC) != 0)
      fail(program, std::string("cannot be connected: ") + std::strerror(errno));
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  ~Pipe() {
    ::close(ends[0]);
    close_writer();
  }
  void close_writer() {
    if (ends[1] >= 0) ::close(ends[1]);
    ends[1] = -1;
  }
  std::array<int, 2> ends{-1, -1};
};

// A file in memory that holds `text`, to be read from its beginning. (A pipe would have to be
// filled while the child is read, and a child that ends early would break it.)
struct InputFile {
  InputFile(const std::filesystem::path& program, const std::string& text)
      : descriptor(::memfd_create("stdin", MFD_CLOEXEC)) {
    size_t written = 0;
    while (descriptor >= 0 && written < text.size()) {
      const ssize_t count = ::write(descriptor, text.data() + written, text.size() - written);
      if (count < 0 && errno != EINTR) break;
      if (count > 0) written += static_cast<size_t>(count);
    }
    if (written == text.size() && ::lseek(descriptor, 0, SEEK_SET) == 0) return;
    const int error = errno;
    ::close(descriptor);
    fail(program, std::string("cannot be given its input: ") + std::strerror(error));
  }
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;
  ~InputFile() { ::close(descriptor); }
  const int descriptor;
};

// Appends what there is to read; returns false at the end.
bool read_some(int descriptor, std::string& text) {
  char buffer[4096];
  const ssize_t count = ::read(descriptor, buffer, sizeof buffer);
  if (count < 0) return errno == EINTR;
  text.append(buffer, static_cast<size_t>(count));
  return count > 0;
}

// Takes complete lines of progress out of `text`, and calls `on_progress` with each.
void take_progress(std::string& text, const std::function<void(const std::string&)>& on_progress) {
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = text.find('\n', begin);
    if (end == std::string::npos) return;
    if (text[begin] != kProgressMark) {
      begin = end + 1;
      continue;
    }
    if (on_progress) on_progress(text.substr(begin + 1, end - begin - 1));
    text.erase(begin, end + 1 - begin);
  }
}

// Reads both at once: a child that fills one pipe while we wait for the other would never end.
void read_both(int out, int err, ChildResult& result, const std::function<void()>& on_read) {
  std::array<pollfd, 2> waiting = {pollfd{out, POLLIN, 0}, pollfd{err, POLLIN, 0}};
  const std::array<std::string*, 2> texts = {&result.out, &result.err};
  while (waiting[0].fd >= 0 || waiting[1].fd >= 0) {
    if (::poll(waiting.data(), waiting.size(), -1) < 0) {
      if (errno == EINTR) continue;
      return;
    }
    for (size_t i = 0; i < waiting.size(); ++i) {
      if (waiting[i].fd < 0 || waiting[i].revents == 0) continue;
      if (!read_some(waiting[i].fd, *texts[i])) waiting[i].fd = -1;  // poll() skips it from now on
      on_read();
    }
  }
}

}  // namespace

ChildResult run_child(const std::filesystem::path& program,
                      const std::vector<std::string>& arguments, const std::string& input,
                      const std::function<void(const std::string&)>& on_progress) {
  std::string name = program.filename().string();
  std::vector<char*> argv = {name.data()};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const InputFile in(program, input);
  Pipe out(program), err(program);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in.descriptor, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out.ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, err.ends[1], STDERR_FILENO);
  pid_t child = 0;
  const int error = posix_spawn(&child, program.c_str(), &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) fail(program, std::string("cannot be started: ") + std::strerror(error));
  out.close_writer();
  err.close_writer();
  ChildResult result;
  {
    const CleanUp end_child([child] { return ::kill(child, SIGKILL) == 0; });
    read_both(out.ends[0], err.ends[0], result, [&] { take_progress(result.err, on_progress); });
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFSIGNALED(status)) {
    const int signal = WTERMSIG(status);
    fail(program, "was ended by signal " + std::to_string(signal) + " (" + strsignal(signal) + ")",
         signal == SIGKILL ? "the system ends processes so when memory runs out" : "");
  }
  result.exit_code = WEXITSTATUS(status);
  return result;
}

}  // namespace wshare
