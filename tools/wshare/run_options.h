#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "run/limits.h"
#include "run/measure.h"

namespace wshare {

// Options that `run` and its children have in common, as the user wrote them.
struct InputArguments {
  std::vector<std::string> shapes;  // "input=1x32"
  std::string folder;
  unsigned sessions = 1;
  unsigned repeat = 5;
};
void add_input_options(CLI::App& app, InputArguments& arguments);

// Throws Error(kInvalid) if a shape cannot be read.
MeasureOptions measure_options(const InputArguments& arguments);

struct LimitArguments {
  std::string pss, anonymous;  // sizes; empty: no limit
  std::optional<double> create_ms, abs_diff;
};
void add_limit_options(CLI::App& app, LimitArguments& arguments);

// Throws Error(kInvalid) if a limit is no size or no finite number from 0 on.
Limits read_limits(const LimitArguments& arguments);

// Splits "NAME=value". Throws Error(kInvalid) that shows `example` if there is no "=" or no name.
std::pair<std::string, std::string> split_assignment(const std::string& text, const char* option,
                                                     const char* example);

}  // namespace wshare
