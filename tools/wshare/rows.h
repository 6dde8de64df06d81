#pragma once

#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <string>
#include <vector>

namespace wshare {

// What tables of 80 columns are made of.
using Rows = std::vector<std::vector<std::string>>;

// Returns `text`, made visible(), in at most `width` columns, cut in the middle, since names differ
// at their ends.
std::string fit(const std::string& text, size_t width);

// Prints rows whose last column takes what the others leave of a line of 80 columns; the first
// `numbers` columns are flush right.
void print_rows(std::ostream& out, Rows rows, size_t numbers);

// Says how many of `count` rows are left out where only `shown` are.
void print_more(std::ostream& out, size_t count, uint64_t shown);

// Breaks a text of words into lines of up to `width` columns; a longer word gets a line of its own.
std::vector<std::string> wrapped(const std::string& text, size_t width);

}  // namespace wshare
