#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace wshare {

// What stands at the start of a text: a character as Unicode writes it, or bytes that are none.
struct Utf8Step {
  size_t size = 0;  // of the character, or of the longest part of one (at least 1)
  bool valid = false;
  uint32_t code = 0;  // the number of a valid one
};

// `text` is not empty.
Utf8Step utf8_step(std::string_view text);

bool is_utf8(std::string_view text);

// Returns `text` with U+FFFD in place of what is no UTF-8.
std::string to_utf8(std::string_view text);

// Appends the character with this number, which is below 0x110000 and no surrogate.
void append_utf8(std::string& text, uint32_t code);

}  // namespace wshare
