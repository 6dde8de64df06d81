#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace wshare {

// Returns `name` between single quotes, safe to print: control bytes and quotes become \xNN, and a
// name over 200 bytes is cut with "..." before the closing quote.
std::string in_quotes(std::string_view name);

// Returns `bytes` for people: "512 B", "1.4 KiB", "413.5 MiB".
std::string format_bytes(uint64_t bytes);

// Returns "1 tensor", "2 tensors": `count` of what `noun` names.
std::string count_of(uint64_t count, const std::string& noun);

// Returns the number that all of `text` is in decimal, or -1 when it is no number of 0 .. 2^63-1.
int64_t parse_decimal(std::string_view text);

// Returns the byte count of a size such as "512", "64K", "1.5GiB" (K, M, G, T are powers of 1024).
//
// Throws Error(kInvalid) if `text` is no size.
uint64_t parse_size(std::string_view text);

}  // namespace wshare
