#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "util/as_text.h"
#include "util/visible.h"
#include "wshare/error.h"

// What the fuzz targets share: each is LLVMFuzzerTestOneInput() in a file of its own. An input
// fails by a report of a sanitizer, by more memory or time than tools/fuzz.sh allows, by an
// exception that is no Error, or by a promise that expect() finds broken.

namespace wshare::fuzz {

// Takes values from the front of an input, zeros behind its end.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : rest_(reinterpret_cast<const char*>(data), size) {}

  uint8_t byte() { return static_cast<uint8_t>(text(1).append(1, '\0')[0]); }
  uint16_t word() {
    const uint8_t low = byte();
    return static_cast<uint16_t>(low | byte() << 8);
  }
  std::string text(size_t size) {
    const std::string taken(rest_.substr(0, size));
    rest_.remove_prefix(taken.size());
    return taken;
  }
  std::string rest() { return text(rest_.size()); }

 private:
  std::string_view rest_;
};

// A copy with nothing behind it that may be read.
class Exact {
 public:
  explicit Exact(std::string_view text)
      : bytes_(reinterpret_cast<const std::byte*>(text.data()),
               reinterpret_cast<const std::byte*>(text.data()) + text.size()) {}

  std::span<const std::byte> bytes() const { return bytes_; }
  std::string_view text() const { return as_text(bytes_); }

 private:
  std::vector<std::byte> bytes_;
};

inline void expect(bool holds, const char* promise) {
  if (holds) return;
  std::fprintf(stderr, "broken promise: %s\n", promise);
  std::abort();
}

// Calls body(); returns whether it accepted the input. Refusals are Errors, whose texts a terminal
// shows as they are, on one line.
template <typename Body>
bool accepts(const Body& body) {
  try {
    body();
    return true;
  } catch (const Error& error) {
    for (const std::string_view text :
         {std::string_view(error.what()), std::string_view(error.hint())})
      expect(visible(text, std::string::npos) == text, "texts of errors are visible");
    return false;
  }
}

// A sink that appends to `out`.
inline auto append_to(std::string& out) {
  return [&out](std::span<const std::byte> bytes) { out += as_text(bytes); };
}

}  // namespace wshare::fuzz
