#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace wshare {

// How a child process ended and all that it wrote.
struct ChildResult {
  int exit_code = 0;
  std::string out;
  std::string err;
};

// Runs `program` with `arguments` and waits for its end.
//
// Throws Error(kRuntime) if it cannot be started or is ended by a signal, which the message names.
ChildResult run_child(const std::filesystem::path& program,
                      const std::vector<std::string>& arguments);

}  // namespace wshare
