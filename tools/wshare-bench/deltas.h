#pragma once

#include <CLI/CLI.hpp>

void add_deltas_command(CLI::App& app);
