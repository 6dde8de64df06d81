#pragma once

#include <filesystem>
#include <string>

#include "wshare/inspect.h"

namespace wshare {

// Returns `inspection`, made with InspectOptions::contents, as one HTML page that needs nothing
// else: report_page.html with the numbers as JSON in it.
//
// Names from files appear in the JSON only, cut to 300 bytes, with every '<' escaped. Of very many
// tensors the largest are in it, so that the page stays under 2 MiB; it says what is left out.
std::string to_html(const Inspection& inspection, uint64_t min_bytes);

// Throws Error(kIo) if no page can be saved as `file`: something else is there, or its folder is
// not, or cannot be written to.
void check_place_of_page(const std::filesystem::path& file);

// Puts `page` at `file` as a whole or not at all, durably. A page that is there is replaced. Throws
// Error(kIo), also as check_place_of_page() does.
void save_page(const std::string& page, const std::filesystem::path& file);

}  // namespace wshare
