#include <algorithm>
#include <nlohmann/json.hpp>
#include <ostream>

#include "cli.h"

namespace wshare {
namespace {

// Columns that `text` takes on a terminal, counting UTF-8 characters as one each.
size_t width_of(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

bool is_control(unsigned char c) { return c < 0x20 || c == 0x7f; }

}  // namespace

void print_json(std::ostream& out, const nlohmann::ordered_json& json) {
  out << json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << '\n';
}

void print_table(std::ostream& out, std::vector<std::vector<std::string>> rows, size_t numbers) {
  std::vector<size_t> widths;
  for (std::vector<std::string>& row : rows) {
    widths.resize(std::max(widths.size(), row.size()), 0);
    for (size_t i = 0; i < row.size(); ++i) {
      std::replace_if(row[i].begin(), row[i].end(), is_control, '?');
      widths[i] = std::max(widths[i], width_of(row[i]));
    }
  }
  for (const std::vector<std::string>& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string pad(widths[i] - width_of(row[i]), ' ');
      line += (i == 0 ? "" : "  ") + (i < numbers ? pad + row[i] : row[i] + pad);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out << line << '\n';
  }
}

}  // namespace wshare
