#pragma once

#include <string>
#include <vector>

#include "cli.h"
#include "wshare/models.h"

namespace wshare {

// Returns the models that `arguments` name, as resolve_inputs() does, and says on stderr what of
// given folders is left out.
std::vector<ModelInput> given_models(const std::vector<std::string>& arguments,
                                     const Context& context);

// Says `left_out` on stderr, a line each, unless --quiet.
void say_left_out(const std::vector<std::string>& left_out, const Context& context);

}  // namespace wshare
