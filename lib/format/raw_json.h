#pragma once

#include <cstddef>
#include <string_view>

namespace wshare {

// Returns where the list or object that begins at `at` ends: behind the bracket that closes it, of
// its own kind. Only quotes and these brackets are looked at, so what lies between may be no JSON.
//
// Returns npos if it does not end.
size_t end_of_raw_json(std::string_view text, size_t at);

}  // namespace wshare
