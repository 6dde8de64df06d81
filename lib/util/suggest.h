#pragma once

#include <string>
#include <vector>

namespace wshare {

// Returns how many letters must be inserted, deleted, replaced or swapped with their neighbour to
// make `b` of `a`.
size_t edit_distance(const std::string& a, const std::string& b);

// Returns the one of `known` that someone who typed `given` most likely meant, or an empty string
// if none is near: one mistake in three letters, or the beginning of a name.
std::string nearest(const std::string& given, const std::vector<std::string>& known);

// Returns the hint for a name `given` that a bundle does not have: "did you mean 'x'?"; where none
// is near, "it has 'a', 'b'" with the names that there are, the first ones of many.
std::string hint_of_names(const std::string& given, const std::vector<std::string>& known);

}  // namespace wshare
