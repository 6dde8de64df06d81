#pragma once

#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <string>
#include <vector>

namespace wshare {

// What tables are made of.
using Rows = std::vector<std::vector<std::string>>;

// Says how many columns the terminal has that `out` writes to.
void set_columns(std::ostream& out, size_t columns);

// Returns what set_columns() said; 0: it is no terminal, so nothing is cut or broken.
size_t columns_of(std::ostream& out);

// Returns `text`, made visible(), in at most `width` columns, cut in the middle, since names differ
// at their ends.
std::string fit(const std::string& text, size_t width);

// The same where `out` is a terminal, `width` being of 80 columns; else all of it.
std::string fit(std::ostream& out, const std::string& text, size_t width);

// Returns `names` as fit() does, but two that differ stay different: cut where they are alike, or
// not at all.
std::vector<std::string> shortened(const std::vector<std::string>& names, size_t width);

// Cuts the names of one column of `rows`, below `heads` of them, to a share of the line of `out`.
void shorten_column(std::ostream& out, Rows& rows, size_t column, size_t percent, size_t heads = 1);

// Prints rows whose last column, of names, takes what the others leave of the line; the first
// `numbers` columns are flush right.
void print_rows(std::ostream& out, Rows rows, size_t numbers);

// Says how many of `count` rows are left out where only `shown` are.
void print_more(std::ostream& out, size_t count, uint64_t shown);

// The same of models, which --json lists all.
void print_more_models(std::ostream& out, size_t count, size_t shown);

// Breaks a text of words into lines of up to `width` columns, 0: one line; a longer word gets a
// line of its own.
std::vector<std::string> wrapped(const std::string& text, size_t width);

// Prints a text of words behind `indent` spaces, broken to the line of `out`; further lines begin
// two spaces later.
void print_words(std::ostream& out, const std::string& text, size_t indent = 0);

}  // namespace wshare
