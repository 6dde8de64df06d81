#pragma once

#include <iosfwd>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "wshare/dedupe.h"

namespace wshare {

// Returns the one object of `dedupe --json`; `bundle` as given on the command line.
nlohmann::ordered_json to_json(const DedupeReport& report, const std::string& bundle,
                               double seconds);

// Prints a table of the models, what stays inline by reason, and the total; before it each tensor,
// with options.explain.
void print_report(std::ostream& out, const DedupeReport& report, const DedupeOptions& options);

}  // namespace wshare
