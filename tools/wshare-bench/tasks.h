#pragma once

#include <CLI/CLI.hpp>

// Declares `tasks`, which runs while the command line is parsed.
void add_task_command(CLI::App& app);
