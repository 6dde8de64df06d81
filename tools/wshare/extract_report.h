#pragma once

#include <iosfwd>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "wshare/extract_lora.h"

namespace wshare {

// The object that `wshare extract-lora --json` prints.
nlohmann::ordered_json to_json(const ExtractReport& report, const std::string& bundle,
                               double seconds);

// The elements of its `tasks`.
nlohmann::ordered_json to_json(const std::vector<ExtractedTask>& tasks);

// What became of each task, and a table of them.
void print_tasks(std::ostream& out, const std::vector<ExtractedTask>& tasks);

void print_report(std::ostream& out, const ExtractReport& report, bool dry_run);

}  // namespace wshare
