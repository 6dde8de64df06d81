#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "wshare/inspect.h"

namespace wshare {

// What tells one page from another that is passed on.
struct PageSource {
  std::vector<std::string> paths;  // that were inspected, as given
  std::string date;                // of that, "2026-11-30"
};

// Returns the day that SOURCE_DATE_EPOCH names, else today's, in UTC.
std::string page_date();

// Returns `inspection`, made with InspectOptions::contents, as one HTML page that needs nothing
// else: report_page.html with the numbers as JSON in it.
//
// Names from files appear in the JSON only, cut to 300 bytes, with every '<' escaped. Of very many
// tensors the largest are in it, so that the page stays under 2 MiB; it says what is left out.
std::string to_html(const Inspection& inspection, uint64_t min_bytes, const PageSource& source);

// Throws Error(kIo) if no page can be saved as `file`: something else is there, or its folder is
// not, or cannot be written to.
void check_place_of_page(const std::filesystem::path& file);

// Puts `page` at `file` as a whole or not at all, durably. A page that is there is replaced. Throws
// Error(kIo), also as check_place_of_page() does.
void save_page(const std::string& page, const std::filesystem::path& file);

}  // namespace wshare
