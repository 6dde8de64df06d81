#pragma once

#include <nlohmann/json_fwd.hpp>
#include <ostream>
#include <string>

#include "wshare/pack.h"

namespace wshare {

// What `wshare pack` says of packs that were made, or dropped; a dry run says what would be.
void print_report(std::ostream& out, const PackReport& report, bool dry_run);
void print_report(std::ostream& out, const PruneReport& report, bool dry_run);

// Three lines for a ticket: what was packed for what, memory, disk.
void print_summary(std::ostream& out, const PackReport& report, bool dry_run);

// Adds the same to `json`.
void add_to(nlohmann::ordered_json& json, const PackReport& report);
void add_to(nlohmann::ordered_json& json, const PruneReport& report);

}  // namespace wshare
