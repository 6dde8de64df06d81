#pragma once

#include <filesystem>

#include "wshare/inspect.h"

namespace wshare {

// Returns what the manifest of the bundle in `folder` says; reads nothing else.
//
// Throws what load_manifest() throws.
Inspection inspect_bundle(const std::filesystem::path& folder, const InspectOptions& options);

}  // namespace wshare
