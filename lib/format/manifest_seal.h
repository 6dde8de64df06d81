#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "util/content_hash.h"
#include "wshare/error.h"

namespace wshare {

// A manifest's last key, "manifest_hash", seals its text: the hash of the whole text with the 32
// digits of that value replaced by '0'. Source: docs/bundle-format.md, "manifest.json".
inline constexpr size_t kSealDigits = 32;
inline constexpr std::string_view kSealTail = "\"\n}\n";  // what follows the digits

// Returns the offset of the digits. Throws Error(kInvalid) if `json` cannot have any.
inline size_t seal_at(std::string_view json) {
  if (json.size() < kSealDigits + kSealTail.size() || !json.ends_with(kSealTail)) {
    throw Error(ErrorCode::kInvalid, "does not end with its manifest_hash");
  }
  return json.size() - kSealTail.size() - kSealDigits;
}

// Returns the digits that seal `json`, whatever stands there now.
inline std::string seal_of(std::string_view json) {
  const size_t at = seal_at(json);
  const std::string zeros(kSealDigits, '0');
  ContentHasher hasher;
  for (const std::string_view piece : {json.substr(0, at), std::string_view(zeros), kSealTail})
    hasher.update(std::as_bytes(std::span(piece)));
  return to_hex(hasher.digest());
}

}  // namespace wshare
