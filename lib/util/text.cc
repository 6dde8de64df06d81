#include "util/text.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>

#include "util/visible.h"
#include "wshare/error.h"

namespace wshare {

std::string in_quotes(std::string_view name) { return "'" + visible(name, 200, "'\\") + "'"; }

std::string format_bytes(uint64_t bytes) {
  static constexpr std::array kUnits = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (bytes < 1024) return fmt::format("{} B", bytes);
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1023.95 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string count_of(uint64_t count, const std::string& noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

int64_t parse_decimal(std::string_view text) {
  int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && stop == end && value >= 0 && text[0] != '-' ? value : -1;
}

uint64_t parse_size(std::string_view text) {
  double value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  std::string_view unit(stop, static_cast<size_t>(end - stop));
  if (unit.ends_with("iB")) {
    unit.remove_suffix(2);
  } else if (unit.ends_with("B")) {
    unit.remove_suffix(1);
  }
  static constexpr std::string_view kPowers = "KMGT";
  const size_t power = unit.empty() ? 0 : kPowers.find(unit) + 1;
  value *= std::pow(1024.0, static_cast<double>(power));
  // find() answers npos for an unknown letter, so that power is 0 although a unit is there.
  if (error != std::errc() || unit.size() > 1 || (!unit.empty() && power == 0) || !(value >= 0) ||
      value >= 0x1p63) {
    throw Error(ErrorCode::kInvalid, in_quotes(text) + ": no size; write it as 512, 64K, 1.5GiB");
  }
  return static_cast<uint64_t>(value);
}

}  // namespace wshare
