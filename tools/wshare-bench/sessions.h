#pragma once

#include <CLI/CLI.hpp>

// Declares the subcommands that measure sessions; they run while the command line is parsed.
void add_session_commands(CLI::App& app);
