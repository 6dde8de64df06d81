#pragma once

#include <string>
#include <utility>
#include <vector>

#include "run/inputs.h"
#include "wshare/runtime.h"

namespace wshare {

// Splits "NAME=value". Throws Error(kInvalid) that shows `example` if there is no "=" or no name.
std::pair<std::string, std::string> split_assignment(const std::string& text, const char* option,
                                                     const char* example);

// Returns the shapes that --shape names, as in "input=1x32". Throws Error(kInvalid) for others.
Shapes parse_shapes(const std::vector<std::string>& texts);

// Returns the values that --value names, as in "sr=16000". Throws Error(kInvalid) for what is no
// number.
Values parse_values(const std::vector<std::string>& texts);

// Returns the options of a provider that --ep-option names, as in "device_type=GPU". Throws
// Error(kInvalid) for others, and for one that is given twice.
ProviderOptions parse_ep_options(const std::vector<std::string>& texts);

// Returns the tier that --tier names; Tier::kAuto for any other name.
Tier parse_tier(const std::string& name);

}  // namespace wshare
