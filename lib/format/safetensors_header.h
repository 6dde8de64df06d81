#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "format/named_tensor.h"

namespace wshare {

// The key of a header under which no tensor stands.
inline constexpr char kSafetensorsMetadata[] = "__metadata__";

// What a header says of a tensor.
struct SafetensorsEntry {
  NamedTensor tensor;  // name and shape
  std::string type;
  uint64_t begin = 0, end = 0;  // of its bytes, relative to the end of the header
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;  // as they stand
  std::map<std::string, std::string> metadata;
};

// Returns what `text`, the header of a safetensors file, says; types and places are not looked at.
//
// Throws Error(kInvalid) if it is no JSON, has a key twice or one that the format does not know, or
// a value where none of its kind belongs.
SafetensorsHeader parse_safetensors_header(std::string_view text);

}  // namespace wshare
