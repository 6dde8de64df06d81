#pragma once

#include <cstddef>
#include <iosfwd>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "wshare/inspect.h"

namespace wshare {

enum class RowOrder { kBytes, kName };

// What the text of `wshare inspect` shows.
struct InspectView {
  uint64_t top = 10;  // rows of each list
  uint64_t min_bytes = 1024;
  RowOrder order = RowOrder::kBytes;
};

// Lists end after `longest` items, those inside of them after kMostNamed; with UINT64_MAX all are
// whole. Beside one that is cut stands how much is left out: "duplicates", "duplicates_more".
nlohmann::ordered_json to_json(const Inspection& inspection, uint64_t longest = kMostCompared);

// Prints `inspection` in lines of at most 80 columns.
void print_inspection(std::ostream& out, const Inspection& inspection, const InspectView& view);

}  // namespace wshare
