#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "format/byte_sink.h"
#include "util/content_hash.h"

namespace wshare::test {

// The bytes of `text`, which the result borrows.
inline std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

inline std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

inline ContentHash hash_of(std::string_view text) { return content_hash(bytes_of(text)); }

// A sink of bytes that appends them to `out`, which must outlive it.
inline ByteSink append_to(std::string& out) {
  return [&out](std::span<const std::byte> bytes) { out += text_of(bytes); };
}

}  // namespace wshare::test
