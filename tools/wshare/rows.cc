#include "rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <ostream>
#include <set>

#include "cli.h"
#include "util/visible.h"

namespace wshare {
namespace {

constexpr size_t kLeastColumns = 24;  // for names, however narrow a terminal is

int columns_index() {
  static const int index = std::ios_base::xalloc();
  return index;
}

// A text whose characters can be counted.
class Text {
 public:
  explicit Text(std::string text) : text_(std::move(text)) {
    for (size_t i = 0; i < text_.size(); ++i) {
      if ((text_[i] & 0xc0) != 0x80) starts_.push_back(i);
    }
    starts_.push_back(text_.size());
  }

  size_t length() const { return starts_.size() - 1; }
  const std::string& all() const { return text_; }
  std::string part(size_t begin, size_t end) const {
    return text_.substr(starts_[begin], starts_[end] - starts_[begin]);
  }

  // The ends, `width` characters in all.
  std::string ends(size_t width) const {
    if (length() <= width) return text_;
    const size_t front = (width - 3) / 2;
    return part(0, front) + "..." + part(length() - (width - 3 - front), length());
  }

  // The ends and what lies at character `at`.
  std::string ends_and(size_t at, size_t width) const {
    if (length() <= width) return text_;
    const size_t end = (width - 6) / 4, middle = width - 6 - 2 * end;
    const size_t before =
        std::min(at, middle / 3);  // what stands there is seen by what is before it
    const size_t begin = std::clamp(at - before, end, length() - end - middle);
    return part(0, end) + (begin > end ? "..." : "") + part(begin, begin + middle) +
           (begin + middle < length() - end ? "..." : "") + part(length() - end, length());
  }

 private:
  std::string text_;
  std::vector<size_t> starts_;  // of characters, in order; then the end
};

// The first character that is not the same in all of `texts`.
size_t first_difference(const std::vector<const Text*>& texts) {
  size_t at = texts[0]->length();
  for (const Text* text : texts) {
    size_t same = 0;
    const size_t most = std::min(at, text->length());
    while (same < most && text->part(same, same + 1) == texts[0]->part(same, same + 1)) ++same;
    at = same;
  }
  return at;
}

}  // namespace

void set_columns(std::ostream& out, size_t columns) {
  out.iword(columns_index()) = static_cast<long>(columns);
}

size_t columns_of(std::ostream& out) { return static_cast<size_t>(out.iword(columns_index())); }

std::string fit(const std::string& text, size_t width) { return Text(visible(text)).ends(width); }

std::string fit(std::ostream& out, const std::string& text, size_t width) {
  return columns_of(out) == 0 ? visible(text) : fit(text, width * columns_of(out) / 80);
}

std::vector<std::string> shortened(const std::vector<std::string>& names, size_t width) {
  width = std::max(width, kLeastColumns);
  std::map<std::string, std::vector<const Text*>> by_cut;  // different ones
  std::vector<Text> texts;
  std::set<std::string> known;
  texts.reserve(names.size());
  for (const std::string& name : names) {
    const Text& text = texts.emplace_back(visible(name));
    if (known.insert(text.all()).second) by_cut[text.ends(width)].push_back(&text);
  }
  std::map<std::string, std::string> cut;
  for (const auto& [ends, alike] : by_cut) {
    std::set<std::string> parts;
    const size_t at = alike.size() > 1 ? first_difference(alike) : 0;
    for (const Text* text : alike) {
      cut[text->all()] = alike.size() > 1 ? text->ends_and(at, width) : ends;
      parts.insert(cut[text->all()]);
    }
    if (parts.size() == alike.size()) continue;
    for (const Text* text : alike) cut[text->all()] = text->all();
  }
  std::vector<std::string> result;
  for (const Text& text : texts) result.push_back(cut[text.all()]);
  return result;
}

void shorten_column(std::ostream& out, Rows& rows, size_t column, size_t percent, size_t heads) {
  if (columns_of(out) == 0) return;
  std::vector<std::string> names;
  for (size_t i = heads; i < rows.size(); ++i) names.push_back(rows[i][column]);
  names = shortened(names, columns_of(out) * percent / 100);
  for (size_t i = heads; i < rows.size(); ++i) rows[i][column] = names[i - heads];
}

void print_rows(std::ostream& out, Rows rows, size_t numbers) {
  if (columns_of(out) > 0 && !rows.empty()) {
    size_t taken = 0;
    for (size_t i = 0; i + 1 < rows[0].size(); ++i) {
      size_t widest = 0;
      for (const std::vector<std::string>& row : rows) {
        if (i + 1 < row.size()) widest = std::max(widest, Text(visible(row[i])).length());
      }
      taken += widest + 2;
    }
    std::vector<std::string> last;
    for (const std::vector<std::string>& row : rows) last.push_back(row.back());
    last = shortened(last, std::max(columns_of(out), taken) - taken);
    for (size_t i = 0; i < rows.size(); ++i) rows[i].back() = last[i];
  }
  print_table(out, rows, numbers);
}

void print_more(std::ostream& out, size_t count, uint64_t shown) {
  if (count > shown) out << fmt::format("... and {} more (--top)\n", count - shown);
}

void print_more_models(std::ostream& out, size_t count, size_t shown) {
  if (count > shown) out << fmt::format("... and {} more (--json)\n", count - shown);
}

std::vector<std::string> wrapped(const std::string& text, size_t width) {
  if (width == 0) return {text};
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

void print_words(std::ostream& out, const std::string& text, size_t indent) {
  const size_t columns = columns_of(out), further = indent + 2;
  const size_t width = columns == 0 ? 0 : std::max(columns, kLeastColumns + further) - further;
  for (const std::string& line : wrapped(text, width)) {
    out << std::string(indent, ' ') << visible(line) << '\n';
    indent = further;
  }
}

}  // namespace wshare
