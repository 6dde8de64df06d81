#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "wshare/inspect.h"

namespace wshare {

// Returns `name` as a page has it: visible(), cut to 300 bytes, with a note of how long it is.
std::string page_name(const std::string& name);

// Returns the table of all tensors, the largest first, in 1.6 MB at most:
//
//   words, patterns, sets: tables that others point into; a set is a rising list of models
//   names[]: a text, or [pattern, number, ...], where the numbers stand for each U+0001 in turn
//   forms[]: [scope, dtype, shape, op, why it stays, bytes], all but the last of them words; word 0
//   is empty
//   rows[]: [name, form, content, ...], one content for each tensor of that name and form with
//   bytes of its own: [set, tensors that have them], or just the set where each of its models has
//   one
//   left_out: {tensors, bytes} that found no room
nlohmann::ordered_json page_tensors(const std::vector<InspectedContent>& contents);

}  // namespace wshare
