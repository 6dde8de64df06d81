#pragma once

#include <string>

namespace CLI {
class App;
}

namespace wshare {

// Returns the manual page (roff) of a command of `app` (add_commands), or of wshare itself where
// `command` is empty: options from the tree that help prints, the rest from `guide`, the text of
// docs/cli.md.
std::string man_page(const CLI::App& app, const std::string& command, const std::string& guide);

// Returns the part of `guide` under the heading "## `heading`", or what stands before the first
// such heading if `heading` is empty.
std::string section_of(const std::string& guide, const std::string& heading);

// Returns Markdown as docs/cli.md has it (paragraphs, lists, tables, code) as roff.
std::string to_roff(const std::string& markdown);

}  // namespace wshare
