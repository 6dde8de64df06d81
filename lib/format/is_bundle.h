#pragma once

#include <filesystem>
#include <system_error>

#include "format/manifest/manifest.h"

namespace wshare {

// True if `path` is a folder that has a manifest, whatever is in it.
inline bool is_bundle(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::is_directory(path, ignored) &&
         std::filesystem::exists(path / kManifestName, ignored);
}

}  // namespace wshare
