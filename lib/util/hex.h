#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace wshare {

// Returns `bytes` as lower-case hex digits, two each.
std::string to_hex(std::string_view bytes);

// Returns the bytes that `hex` stands for, or nothing if it is no text of to_hex().
std::optional<std::string> parse_hex(std::string_view hex);

}  // namespace wshare
