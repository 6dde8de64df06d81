#pragma once

#include <CLI/CLI.hpp>

// Adds "command": what a command takes, in time and anonymous memory.
void add_command_command(CLI::App& app);
