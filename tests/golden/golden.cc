#include "golden/golden.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>
#include <string_view>

namespace wshare::test {
namespace {

using Json = nlohmann::ordered_json;

// What stands before a number that counts bytes of files with compressed or computed parts.
constexpr std::array<std::string_view, 7> kFileSizes = {
    "\"bytes_out\": ",   "\"bytes_added\": ",    "\"bytes_before\": ",          "\"freed_bytes\": ",
    "\"saved_bytes\": ", "\"residual_bytes\": ", "\"predicted_bundle_bytes\": "};

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

void write_readable(const Json& json, const std::string& indent, size_t used, std::string& text) {
  constexpr size_t kColumns = 100;
  const bool is_object = json.is_object();
  const auto name_of = [&](const std::string& key) {
    return is_object ? Json(key).dump() + ": " : std::string();
  };
  std::string line;
  for (const auto& [key, value] : json.items()) {
    if (!json.is_structured() || used + line.size() > kColumns) break;
    line += (line.empty() ? "" : ", ") + name_of(key);
    write_readable(value, "", 0, line);
  }
  if (!json.is_structured()) line = json.dump();
  if (is_object) line = "{" + line + "}";
  if (json.is_array()) line = "[" + line + "]";
  const bool fits = used + line.size() <= kColumns && line.find('\n') == std::string::npos;
  if (fits || !json.is_structured()) {
    text += line;
    return;
  }
  text += is_object ? "{\n" : "[\n";
  size_t left = json.size();
  for (const auto& [key, value] : json.items()) {
    const std::string front = indent + "  " + name_of(key);
    text += front;
    write_readable(value, indent + "  ", front.size() + 1, text);
    text += --left > 0 ? ",\n" : "\n";
  }
  text += indent + (is_object ? "}" : "]");
}

// A number in a line, from `begin` to before `end`.
struct Number {
  size_t begin, end;
  double value;
  bool may_differ;
};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// The first number of `line` from `from` on; `begin` is npos if there is none.
Number next_number(const std::string& line, size_t from) {
  const auto digit = std::find_if(line.begin() + static_cast<long>(from), line.end(), is_digit);
  if (digit == line.end()) return {std::string::npos, line.size(), 0, false};
  Number number{static_cast<size_t>(digit - line.begin()), 0, 0, false};
  char* end = nullptr;
  number.value = std::strtod(line.c_str() + number.begin, &end);
  number.end = static_cast<size_t>(end - line.c_str());
  const std::string_view view(line), before = view.substr(0, number.begin);
  const std::string_view itself = view.substr(number.begin, number.end - number.begin);
  const bool is_file_size =
      std::any_of(kFileSizes.begin(), kFileSizes.end(),
                  [&](std::string_view key) { return before.ends_with(key); });
  number.may_differ = itself.find('.') != std::string_view::npos ||
                      view.substr(number.end).starts_with(" B") || is_file_size ||
                      view.find("restore") != std::string_view::npos;
  return number;
}

// `line` from `begin` to before `end`, each run of spaces as one, none at the start: columns follow
// their numbers.
std::string squeezed(const std::string& line, size_t begin, size_t end) {
  std::string text;
  for (size_t i = begin; i < std::min(end, line.size()); ++i) {
    const bool follows_space = text.empty() ? begin == 0 : text.back() == ' ';
    if (line[i] != ' ' || !follows_space) text += line[i];
  }
  return text;
}

bool are_alike(const std::string& a, const std::string& b) {
  constexpr double kTolerance = 0.05;
  bool numbers_differ = false;
  size_t at_a = 0, at_b = 0;
  while (true) {
    const Number x = next_number(a, at_a), y = next_number(b, at_b);
    if (squeezed(a, at_a, x.begin) != squeezed(b, at_b, y.begin)) return false;
    if (x.begin == std::string::npos) return numbers_differ && y.begin == x.begin;
    if (y.begin == std::string::npos) return false;
    if (x.value != y.value) {
      numbers_differ = true;
      const double largest = std::max(x.value, y.value);
      if (!x.may_differ || !y.may_differ) return false;
      if (std::abs(x.value - y.value) > kTolerance * largest) return false;
    }
    at_a = x.end;
    at_b = y.end;
  }
}

}  // namespace

std::vector<GoldenStep> read_golden(const std::string& text) {
  std::vector<GoldenStep> steps;
  std::string comment;
  for (const std::string& line : lines_of(text)) {
    if (line.starts_with("#")) {
      comment += line + "\n";
    } else if (line.starts_with("$ ")) {
      steps.push_back({std::exchange(comment, ""), line.substr(2), ""});
    } else if (!steps.empty() && comment.empty()) {
      steps.back().answer += line + "\n";
    } else if (!line.empty()) {
      throw std::runtime_error("not below a command: " + line);
    }
  }
  for (GoldenStep& step : steps) {
    while (step.answer.ends_with("\n\n")) step.answer.pop_back();
    if (step.answer == "\n") step.answer.clear();
  }
  return steps;
}

std::string golden_text(const std::vector<GoldenStep>& steps) {
  std::string text;
  for (const GoldenStep& step : steps) {
    text += (text.empty() ? "" : "\n") + step.comment + "$ " + step.command + "\n" + step.answer;
  }
  return text;
}

std::string readable(const Json& json) {
  std::string text;
  write_readable(json, "", 0, text);
  return text + "\n";
}

std::string first_difference(const std::string& expected, const std::string& actual) {
  const std::vector<std::string> a = lines_of(expected), b = lines_of(actual);
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    if (a[i] != b[i] && !are_alike(a[i], b[i])) return b[i] + "\nwhere it should be\n" + a[i];
  }
  if (a.size() < b.size()) return b[a.size()] + "\nbehind the end";
  return a.size() > b.size() ? "the end\nwhere it should be\n" + a[b.size()] : "";
}

}  // namespace wshare::test
