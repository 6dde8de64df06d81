#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "wshare/inspect.h"

namespace wshare {

// Returns `name` as a page has it: cut to 300 bytes, with a note of how long it is.
std::string page_name(const std::string& name);

// Returns the table of all tensors, the largest first, in 1.5 MB at most:
//
//   names, words, sets: tables that the rows point into; a set is a rising list of models
//   rows[]: [name, scope, dtype, shape, op, why it stays (0: it does not), bytes, contents]
//   contents: for each tensor of that name and form with bytes of its own [set, tensors that have
//   them], or just the set where each of its models has one
//   left_out: {tensors, bytes} that found no room
nlohmann::ordered_json page_tensors(const std::vector<InspectedContent>& contents);

}  // namespace wshare
