#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "wshare/progress.h"

namespace wshare {

struct ImportOciOptions {
  bool copy = false;     // no hard links: the bundle's files are its own
  bool dry_run = false;  // check everything, write nothing
  unsigned threads = 0;  // 0: all cores
  // How long to wait for another command that changes the bundle.
  std::chrono::milliseconds wait{10000};
  ProgressFn progress;
};

struct ImportOciReport {
  std::string tag;
  std::string digest;         // "sha256:..." of the manifest
  uint64_t bytes = 0;         // of all files of the bundle
  uint64_t new_bytes = 0;     // of those that the bundle did not have: these were hashed
  uint64_t linked_bytes = 0;  // that the layout and the bundle have once, from now on
  bool updated = false;       // there was a bundle, and it is another one now
  // Names of models, tasks and archived models.
  std::vector<std::string> added, removed, changed;
  // A folder beside the bundle with files of others that came into the old folder meanwhile and
  // could not come along; empty: there are none.
  std::string kept;
};

// Makes what `tag` names in the OCI image layout `layout` (empty: its only manifest, or the one
// called "latest") the bundle in the folder `bundle`, new or in place of the bundle that is there,
// in one step, and returns what it did. Sessions that are open go on.
//
// The layout is a stranger's: what is not hashed is a file that the bundle has already, under that
// name. Throws Error(kInvalid) if anything in it contradicts anything else, Error(kUnsupported) if
// it holds no bundle; Error(kIo) if there is none, the bundle's folder is something else, holds
// other files, cannot be written to or is being changed by another process for longer than `wait`.
// The bundle is then as it was.
ImportOciReport import_oci(const std::filesystem::path& layout, const std::string& tag,
                           const std::filesystem::path& bundle, const ImportOciOptions& options);

}  // namespace wshare
