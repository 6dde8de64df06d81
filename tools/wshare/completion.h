#pragma once

#include <string>

namespace CLI {
class App;
}

namespace wshare {

// Returns the script that completes the commands, options and values of `app` (add_commands) in
// bash, zsh or fish; `shell` is one of these. Names of models come from the bundle on the command
// line, by "wshare complete-names BUNDLE".
std::string completion_script(const CLI::App& app, const std::string& shell);

}  // namespace wshare
