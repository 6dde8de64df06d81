#pragma once

#include <CLI/CLI.hpp>

// Adds "manifest": what a manifest of many tensors takes to read, in time and anonymous memory.
void add_manifest_command(CLI::App& app);
