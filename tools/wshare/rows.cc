#include "rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <ostream>

#include "cli.h"
#include "util/visible.h"

namespace wshare {
namespace {

constexpr size_t kLineWidth = 80;

// Where the characters of `text` begin, in order; then its end.
std::vector<size_t> character_starts(const std::string& text) {
  std::vector<size_t> starts;
  for (size_t i = 0; i < text.size(); ++i) {
    if ((text[i] & 0xc0) != 0x80) starts.push_back(i);
  }
  starts.push_back(text.size());
  return starts;
}

}  // namespace

std::string fit(const std::string& any_text, size_t width) {
  const std::string text = visible(any_text);
  const std::vector<size_t> starts = character_starts(text);
  const size_t length = starts.size() - 1;
  if (length <= width) return text;
  const size_t front = (width - 3) / 2;
  const size_t back = width - 3 - front;
  return text.substr(0, starts[front]) + "..." + text.substr(starts[length - back]);
}

void print_rows(std::ostream& out, Rows rows, size_t numbers) {
  std::vector<size_t> widths(rows[0].size(), 0);
  for (std::vector<std::string>& row : rows) {
    for (size_t i = 0; i + 1 < row.size(); ++i) {
      row[i] = visible(row[i]);
      widths[i] = std::max(widths[i], character_starts(row[i]).size() - 1);
    }
  }
  size_t left = kLineWidth;
  for (size_t i = 0; i + 1 < widths.size(); ++i) left -= widths[i] + 2;
  for (std::vector<std::string>& row : rows) row.back() = fit(row.back(), left);
  print_table(out, rows, numbers);
}

void print_more(std::ostream& out, size_t count, uint64_t shown) {
  if (count > shown) out << fmt::format("... and {} more (--top)\n", count - shown);
}

std::vector<std::string> wrapped(const std::string& text, size_t width) {
  std::vector<std::string> lines(1);
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(' ', begin), text.size());
    const std::string word = text.substr(begin, end - begin);
    if (!lines.back().empty() && lines.back().size() + 1 + word.size() > width) {
      lines.emplace_back();
    }
    lines.back() += (lines.back().empty() ? "" : " ") + word;
    begin = end + 1;
  }
  return lines;
}

}  // namespace wshare
