#include "util/suggest.h"

#include <algorithm>
#include <cctype>
#include <numeric>
#include <span>

#include "util/name_list.h"
#include "util/text.h"

namespace wshare {
namespace {

constexpr size_t kLongest = 100;  // the table grows with the square; nobody types that

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

}  // namespace

// Source: optimal string alignment distance (Damerau 1964), three rows at a time.
size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<size_t> before, last(b.size() + 1), row(b.size() + 1);
  std::iota(last.begin(), last.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] =
          std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before = last;
    last = row;
  }
  return last[b.size()];
}

std::string nearest(const std::string& given, const std::vector<std::string>& known) {
  if (given.empty() || given.size() > kLongest) return {};
  const std::string typed = lower(given);
  std::string best;
  size_t best_distance = std::max<size_t>(1, typed.size() / 3) + 1;  // none so far is nearer
  for (const std::string& name : known) {
    if (name.size() > kLongest) continue;
    const std::string other = lower(name);
    const bool is_begun = typed.size() >= 3 && other.starts_with(typed);
    const size_t distance = is_begun ? 1 : edit_distance(typed, other);
    // Any two letters are two mistakes from any others.
    if (distance >= best_distance || distance >= std::max(typed.size(), other.size())) continue;
    best = name;
    best_distance = distance;
  }
  return best;
}

std::string hint_of_names(const std::string& given, const std::vector<std::string>& known) {
  constexpr size_t kShown = 12;
  const std::string meant = nearest(given, known);
  if (!meant.empty()) return "did you mean " + in_quotes(meant) + "?";
  std::string list = list_in_quotes(std::span(known).first(std::min(known.size(), kShown)));
  if (known.size() > kShown) list += " and " + std::to_string(known.size() - kShown) + " more";
  return "it has " + (list.empty() ? "none" : list);
}

}  // namespace wshare
