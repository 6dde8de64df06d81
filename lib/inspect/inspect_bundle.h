#pragma once

#include <filesystem>

#include "wshare/inspect.h"

namespace wshare {

// Returns what the manifest of the bundle in `folder` says, and which files of the folder are not
// as it says by name and size; reads nothing else, but the factors of tasks with options.contents.
//
// Throws what load_manifest() throws.
Inspection inspect_bundle(const std::filesystem::path& folder, const InspectOptions& options);

}  // namespace wshare
