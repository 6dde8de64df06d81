#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace wshare {

// How a child process ended and all that it wrote.
struct ChildResult {
  int exit_code = 0;
  std::string out;
  std::string err;
};

// Begins the lines on stderr by which a child says what it does next.
inline constexpr char kProgressMark = '\x1f';

// Runs `program` with `arguments`, `input` on its stdin, and waits for its end.
//
// Lines on its stderr that begin with kProgressMark are handed to `on_progress` as they come,
// without the mark and the line feed, and are no part of the result.
//
// Throws Error(kRuntime) if it cannot be started or is ended by a signal, which the message names.
ChildResult run_child(const std::filesystem::path& program,
                      const std::vector<std::string>& arguments, const std::string& input = {},
                      const std::function<void(const std::string& line)>& on_progress = {});

}  // namespace wshare
