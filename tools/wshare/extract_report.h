#pragma once

#include <iosfwd>
#include <nlohmann/json.hpp>
#include <string>

#include "wshare/extract_lora.h"

namespace wshare {

// The object that `wshare extract-lora --json` prints.
nlohmann::ordered_json to_json(const ExtractReport& report, const std::string& bundle,
                               double seconds);

void print_report(std::ostream& out, const ExtractReport& report, bool dry_run);

}  // namespace wshare
