#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "format/manifest.h"

namespace wshare {

// Returns what to_json() does, once parse_manifest() has read it, so that no bundle is made that
// nobody can read. What commands write.
//
// Throws Error(kInvalid) if it cannot be read.
std::string to_checked_json(const Manifest& manifest, unsigned threads);

// Returns what parse_manifest() does, without the tensors of tasks and of all models and packs but
// those called `only` ("": of all): what a session of that model needs, and costs.
Manifest parse_manifest_of(std::string_view json, const std::string& only);

// Checks what records say of each other: names, extents and the files that they lie in.
//
// Throws Error(kInvalid) if they contradict each other.
void check_manifest(const Manifest& manifest);

}  // namespace wshare
