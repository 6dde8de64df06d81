#include "util/utf8.h"

namespace wshare {

// Source: The Unicode Standard, table 3-7.
Utf8Step utf8_step(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return {1, true, first};
  if (first < 0xC2 || first > 0xF4) return {1, false};
  const size_t size = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  uint32_t code = first & (0x7Fu >> size);
  unsigned char lowest = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
  unsigned char highest = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
  for (size_t i = 1; i < size; ++i) {
    if (i == text.size() || byte(i) < lowest || byte(i) > highest) return {i, false};
    code = code << 6 | (byte(i) & 0x3Fu);
    lowest = 0x80;
    highest = 0xBF;
  }
  return {size, true, code};
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const Utf8Step step = utf8_step(text);
    if (!step.valid) return false;
    text.remove_prefix(step.size);
  }
  return true;
}

std::string to_utf8(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const Utf8Step step = utf8_step(text);
    result += step.valid ? text.substr(0, step.size) : "\xEF\xBF\xBD";
    text.remove_prefix(step.size);
  }
  return result;
}

void append_utf8(std::string& text, uint32_t code) {
  const auto add = [&](uint32_t byte) { text += static_cast<char>(byte); };
  const auto follow = [&](uint32_t bits) { add(0x80 | (bits & 0x3F)); };
  if (code < 0x80) {
    add(code);
  } else if (code < 0x800) {
    add(0xC0 | code >> 6);
    follow(code);
  } else if (code < 0x10000) {
    add(0xE0 | code >> 12);
    follow(code >> 6);
    follow(code);
  } else {
    add(0xF0 | code >> 18);
    follow(code >> 12);
    follow(code >> 6);
    follow(code);
  }
}

}  // namespace wshare
