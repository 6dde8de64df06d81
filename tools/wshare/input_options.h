#pragma once

#include "run/inputs.h"

namespace CLI {
class App;
}

namespace wshare {

// Declares --inputs, --shape and --value on `app`: what models are run on.
void add_input_options(CLI::App& app, InputOptions& inputs);

// Throws CLI::ValidationError if some of these exclude each other.
void check_together(const InputOptions& inputs);

}  // namespace wshare
