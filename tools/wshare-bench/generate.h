#pragma once

#include <CLI/CLI.hpp>

// Declares `generate`; it runs while the command line is parsed, and throws if it cannot write.
void add_generate_command(CLI::App& app);
