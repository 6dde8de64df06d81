#pragma once

#include <span>

#include "cli.h"

namespace CLI {
class Option;
}  // namespace CLI

namespace wshare {

// A command of wshare: the one table behind help, dispatch, "did you mean", completions and man
// pages.
struct Command {
  const char* name;
  const char* usage;    // its arguments
  const char* summary;  // empty: hidden, not for users
  void (*add)(CLI::App&, Context&, Action&);

  bool is_hidden() const { return *summary == '\0'; }
};

// Returns all commands, in the order of help.
std::span<const Command> commands();

// Returns the command of this name, or null.
const Command* find_command(const std::string& name);

// Returns how help calls the value of `option`: "N", "TEXT", "{bytes,name}"; empty for a flag.
std::string value_name(const CLI::Option& option);

// Declares all commands and their options on `app`. Parsing then sets `context` and `action`, which
// must outlive `app`.
void add_commands(CLI::App& app, Context& context, Action& action);

}  // namespace wshare
