#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <ostream>
#include <utility>

#include "cli.h"
#include "util/utf8.h"
#include "util/visible.h"

namespace wshare {
namespace {

// Columns that `text` takes on a terminal, counting UTF-8 characters as one each.
size_t width_of(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

}  // namespace

void print_message(std::ostream& err, const std::string& message) {
  err << "wshare: " << visible(message) << '\n';
}

void print_json(std::ostream& out, const nlohmann::ordered_json& json) {
  const std::string text =
      json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  std::string_view rest = text;
  for (size_t at = 0; at < rest.size();) {
    const Utf8Step step = utf8_step(rest.substr(at));
    at += step.size;
    if (!is_hidden(step.code)) continue;
    out << rest.substr(0, at - step.size) << fmt::format("\\u{:04x}", step.code);
    rest.remove_prefix(std::exchange(at, 0));
  }
  out << rest << '\n';
}

void print_table(std::ostream& out, std::vector<std::vector<std::string>> rows, size_t numbers) {
  std::vector<size_t> widths;
  for (std::vector<std::string>& row : rows) {
    widths.resize(std::max(widths.size(), row.size()), 0);
    for (size_t i = 0; i < row.size(); ++i) {
      row[i] = visible(row[i]);
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
