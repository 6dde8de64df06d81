#pragma once

#include <string>
#include <vector>

#include "cli.h"
#include "wshare/models.h"

namespace CLI {
class App;
}

namespace wshare {

// Models as they stand on a command line.
struct ModelArguments {
  std::vector<std::string> names;
  bool recursive = false;
};

// Declares them on `app`: the arguments `name`, and --recursive.
void add_models(CLI::App& app, const char* name, ModelArguments& arguments);

// Declares --recursive alone.
void add_recursive_option(CLI::App& app, bool& recursive);

// Returns the models that `arguments` name, as resolve_inputs() does, and says on stderr what of
// given folders is left out.
std::vector<ModelInput> given_models(const ModelArguments& arguments, const Context& context);

// Says `left_out` on stderr, a line each, unless --quiet.
void say_left_out(const std::vector<std::string>& left_out, const Context& context);

}  // namespace wshare
