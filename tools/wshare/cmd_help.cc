#include <CLI/CLI.hpp>
#include <memory>
#include <ostream>

#include "cli.h"
#include "command_table.h"

namespace wshare {

// run_cli() turns "help COMMAND" into "COMMAND --help" before anything is parsed; here `help`
// stands among the commands.
void add_help(CLI::App& app, Context&, Action&) {
  app.add_option("COMMAND", "The command; without it, all commands");
}

}  // namespace wshare
