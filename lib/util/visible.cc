#include "util/visible.h"

#include <fmt/format.h>

#include "util/utf8.h"

namespace wshare {
namespace {

void append_visible(std::string& result, std::string_view text, std::string_view also) {
  while (!text.empty()) {
    const Utf8Step step = utf8_step(text);
    const std::string_view character = text.substr(0, step.size);
    if (!step.valid || is_hidden(step.code) || also.find(character) != std::string_view::npos) {
      for (const char c : character)
        result += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      result += character;
    }
    text.remove_prefix(step.size);
  }
}

}  // namespace

bool is_hidden(uint32_t code) {
  return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x061c || code == 0x200e ||
         code == 0x200f || (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

std::string visible(std::string_view text, size_t longest, std::string_view also) {
  std::string result;
  if (text.size() <= longest) {
    append_visible(result, text, also);
    return result;
  }
  const auto is_inside = [&](size_t at) { return (text[at] & 0xc0) == 0x80; };  // of a character
  size_t front = longest / 2, back = text.size() - longest / 2;
  for (int i = 0; i < 3 && front > 0 && is_inside(front); ++i) --front;
  for (int i = 0; i < 3 && is_inside(back); ++i) ++back;
  append_visible(result, text.substr(0, front), also);
  result += "...";
  append_visible(result, text.substr(back), also);
  return result;
}

}  // namespace wshare
