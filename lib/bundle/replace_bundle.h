#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>

#include "bundle/lock.h"
#include "format/manifest/manifest.h"
#include "util/output_folder.h"

namespace wshare {

// Puts the bundle in `output` in the place of the one that `lock` holds, whose manifest is
// `before`. Files of others that came into the old folder meanwhile come along; where something has
// their name, they stay: returns the folder that they are in, "" if there are none.
//
// Throws Error(kIo) if the folder is no longer the locked one, or holds a file that is no part of
// the bundle; all is then as it was.
std::string replace_bundle(const BundleLock& lock, const Manifest& before, OutputFolder& output);

// The place of a new bundle. A bundle that it replaces is locked from the start, so that nobody
// else changes it.
class NewBundle {
 public:
  // With `replace`, a bundle that is there is locked; throws Error(kIo) if another process keeps it
  // locked for longer than `wait`. Whether anything else is there shows in path() and commit().
  NewBundle(const std::filesystem::path& target, bool replace, const std::string& command,
            std::chrono::milliseconds wait);

  // The folder to write the bundle into, made when it is first asked for. Throws what OutputFolder
  // throws.
  const std::filesystem::path& path();

  // Puts the bundle in its place. Throws Error(kIo), all is then as it was; returns what
  // replace_bundle() returns.
  std::string commit();

 private:
  std::filesystem::path target_;
  std::optional<BundleLock> lock_;
  std::optional<Manifest> before_;
  std::optional<OutputFolder> output_;
};

}  // namespace wshare
