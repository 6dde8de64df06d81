#include "run/arguments.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdlib>

#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

std::vector<int64_t> parse_shape(const std::string& text) {
  std::vector<int64_t> shape;
  if (text.empty()) return shape;  // a scalar
  size_t at = 0;
  while (at <= text.size()) {
    const size_t end = std::min(text.find('x', at), text.size());
    shape.push_back(parse_decimal(text.substr(at, end - at)));
    if (shape.back() < 0)
      throw Error(ErrorCode::kInvalid, "--shape: " + in_quotes(text) + " is no shape such as 1x32");
    at = end + 1;
  }
  return shape;
}

}  // namespace

std::pair<std::string, std::string> split_assignment(const std::string& text, const char* option,
                                                     const char* example) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    throw Error(ErrorCode::kInvalid,
                std::string(option) + ": " + in_quotes(text) + " is not of the form " + example);
  }
  return {text.substr(0, equals), text.substr(equals + 1)};
}

Shapes parse_shapes(const std::vector<std::string>& texts) {
  Shapes shapes;
  for (const std::string& text : texts) {
    const auto [name, shape] = split_assignment(text, "--shape", "input=1x32");
    shapes[name] = parse_shape(shape);
  }
  return shapes;
}

Values parse_values(const std::vector<std::string>& texts) {
  Values values;
  for (const std::string& text : texts) {
    const auto [name, value] = split_assignment(text, "--value", "input=0.5");
    char* end = nullptr;
    const double number = std::strtod(value.c_str(), &end);
    if (value.empty() || std::isspace(static_cast<unsigned char>(value[0])) != 0 || *end != '\0' ||
        !std::isfinite(number)) {
      throw Error(ErrorCode::kInvalid, "--value: " + in_quotes(value) + " is no number");
    }
    values[name] = value;
  }
  return values;
}

ProviderOptions parse_ep_options(const std::vector<std::string>& texts) {
  ProviderOptions options;
  for (const std::string& text : texts) {
    const auto [key, value] = split_assignment(text, "--ep-option", "KEY=VALUE");
    if (!options.emplace(key, value).second)
      throw Error(ErrorCode::kInvalid, "--ep-option: " + in_quotes(key) + " is given twice");
  }
  return options;
}

Tier parse_tier(const std::string& name) {
  for (const Tier tier : {Tier::kPacked, Tier::kShared, Tier::kCompact}) {
    if (name == text_of(tier)) return tier;
  }
  return Tier::kAuto;
}

}  // namespace wshare
