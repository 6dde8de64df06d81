#pragma once

#include <string>
#include <vector>

namespace wshare {

// Runs this program again with `arguments` and returns what it wrote to stdout; its stderr is ours.
//
// Throws Error(kRuntime) if it cannot be started or ends with another exit code than 0.
std::string run_self(const std::vector<std::string>& arguments);

}  // namespace wshare
