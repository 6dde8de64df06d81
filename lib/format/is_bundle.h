#pragma once

#include <filesystem>
#include <system_error>

#include "format/manifest/manifest.h"
#include "util/paths.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {

// True if `path` is a folder that has a manifest, whatever is in it.
inline bool is_bundle(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::is_directory(path, ignored) &&
         std::filesystem::exists(path / kManifestName, ignored);
}

// Throws Error(kIo) if `output`, which a command is to make, would be `bundle` or lie in it.
inline void check_outside_bundle(const std::filesystem::path& output,
                                 const std::filesystem::path& bundle) {
  if (!is_inside(output, bundle)) return;
  throw Error(ErrorCode::kIo, in_quotes(output.string()) + ": is the bundle itself or lies in it",
              "give another folder");
}

}  // namespace wshare
