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

// Writes `page` to `file`, at once or not at all. A file that exists is replaced only if it is such
// a page. Throws Error(kIo).
void save_page(const std::string& page, const std::filesystem::path& file);

}  // namespace wshare
