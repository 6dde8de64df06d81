#pragma once

#include <iosfwd>
#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "wshare/archive.h"

namespace wshare {

// Returns what `archive --json` says of models.
nlohmann::ordered_json to_json(const std::vector<ArchivedModel>& models);

// Prints a table of the models, archived and left, and the total.
void print_archived(std::ostream& out, const ArchiveReport& report, bool dry_run);

}  // namespace wshare
