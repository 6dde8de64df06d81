#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace wshare {

// What completes a word of the command line, in any shell.
enum class Completed {
  kFlag,     // nothing: the option has no value
  kAny,      // nothing is known of the value
  kWords,    // one of words_of()
  kFile,     // any file or folder
  kFolder,   // a folder
  kName,     // a model or task of the bundle on the command line
  kCommand,  // one of command_words()
};

using Options = std::vector<const CLI::Option*>;

// Returns the positional arguments of `app`, or its options; they live as long as it.
Options options_of(const CLI::App& app, bool positional);

// Returns the spellings of `option`: "-o", "--output".
std::vector<std::string> spellings(const CLI::Option& option);

// Returns the words of a value that help calls "{a,b}"; of any other none.
std::vector<std::string> words_of(const std::string& value);

// Returns what completes the value of `option` of `app`.
Completed kind_of(const CLI::App& app, const CLI::Option& option);

// Returns what completes an argument that is no option, once a bundle stands before it, or before
// that.
Completed rest_kind(const CLI::App& app, bool behind_bundle);

// Returns the commands that help lists, by name and as declared on `app`.
std::vector<std::string> command_words();
std::vector<const CLI::App*> shown(const CLI::App& app);

}  // namespace wshare
