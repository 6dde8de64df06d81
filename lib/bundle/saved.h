#pragma once

#include <cstdint>
#include <utility>
#include <vector>

namespace wshare {

// What of one place in a blob each of several models reads: model, bytes from its beginning.
using PlaceParts = std::vector<std::pair<uint32_t, uint64_t>>;

// Adds to `saved` [model] what each of the models of `parts` saves since all of them read one
// place: of bytes that k models read, each saves 1 - 1/k, so that the parts of all are what is
// saved in all but for roundings.
void add_saved(PlaceParts parts, std::vector<uint64_t>& saved);

}  // namespace wshare
