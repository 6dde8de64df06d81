#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "wshare/error.h"

namespace wshare {

using Texts = std::vector<std::string>;

// Declares an option on `app` whose text, or texts, `read` takes; its errors are mistakes on the
// command line.
template <typename Text = std::string, typename Read>
CLI::Option* add_text(CLI::App& app, const char* name, const Read& read, const char* summary) {
  const auto read_checked = [read](const Text& text) {
    try {
      read(text);
    } catch (const Error& error) {
      throw CLI::ValidationError(error.what());
    }
  };
  return app.add_option_function<Text>(name, read_checked, summary);
}

}  // namespace wshare
