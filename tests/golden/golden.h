#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace wshare::test {

// One command of a golden file, with the comment above it.
struct GoldenStep {
  std::string comment;  // lines with their '#', or empty
  std::string command;  // without "$ "
  std::string answer;   // all lines up to the next comment or command
};

// Reads the text of a golden file (golden_test.cc says how one looks). Throws std::runtime_error
// where a line stands before the first command.
std::vector<GoldenStep> read_golden(const std::string& text);

// Returns the text of a golden file that has `steps`.
std::string golden_text(const std::vector<GoldenStep>& steps);

// Returns `json` over several lines, for a reader: what fits in 100 columns stands on one.
std::string readable(const nlohmann::ordered_json& json);

// Returns the first line of `actual` that is not as in `expected`, or an empty string.
//
// Between machines the last digits of low ranks differ, and the size of what zstd wrote. So two
// numbers are alike within 5 % where they have a decimal point or count the bytes of a whole file
// or bundle; "seconds" are always alike. All else is compared byte by byte.
std::string first_difference(const std::string& expected, const std::string& actual);

}  // namespace wshare::test
