#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace wshare {

// The longest message or note that is printed, in bytes.
inline constexpr size_t kLongestMessage = 2000;

// True if this character is not seen as itself: a terminal obeys it, or it breaks or turns the line
// that it is in (controls of C0 and C1, separators of lines and paragraphs, marks of direction).
bool is_hidden(uint32_t code);

// Returns `text` safe to print; what comes from elsewhere reaches people through this function and
// in_quotes() only. The bytes of hidden characters, of those in `also` and of what is no UTF-8
// become \xNN. A longer text than `longest` bytes is cut in the middle, since names differ at their
// ends.
std::string visible(std::string_view text, size_t longest = kLongestMessage,
                    std::string_view also = {});

}  // namespace wshare
