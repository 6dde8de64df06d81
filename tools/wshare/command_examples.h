#pragma once

#include <span>
#include <string>

namespace wshare {

// What people want of a command, and how they say it.
struct CommandExamples {
  const char* command;
  const char* group;                   // heading in the help of all commands
  std::span<const char* const> lines;  // each a whole command line
};

// Returns the heading that `command` stands under.
std::string group_of(const std::string& command);

// Returns the examples of `command`; none of a hidden one.
std::span<const char* const> examples_of(const std::string& command);

}  // namespace wshare
