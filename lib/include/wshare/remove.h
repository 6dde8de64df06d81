#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "wshare/progress.h"

namespace wshare {

struct RemoveOptions {
  bool compact = false;  // rewrite what is left, as dedupe of it would have written it
  bool dry_run = false;  // find out everything, write nothing
  unsigned threads = 0;  // 0: all cores
  // How long to wait for another command that changes the bundle.
  std::chrono::milliseconds wait{10000};
  ProgressFn progress;
};

struct RemovedFile {
  std::string file;
  uint64_t bytes = 0;
};

struct RemoveReport {
  std::vector<std::string> removed;  // models and tasks; a task takes its own model with it
  std::vector<RemovedFile> files;    // that are gone, the largest first; none with `compact`
  uint64_t bytes_before = 0;         // of all files of the bundle
  uint64_t bytes_out = 0;
  uint64_t unused_bytes = 0;  // in blobs that stay, used by no model any more
  // A folder beside the bundle with files of others that came into the old folder meanwhile and
  // could not come along; empty: there are none.
  std::string kept;
};

// Takes the models and tasks `names` out of the bundle in the folder `bundle` and returns what it
// did.
//
// Without `compact` no file that stays is changed but manifest.json, which is replaced in one step;
// then files go that nothing left needs. With it `names` may be empty, and the bundle is replaced
// by a new one in one step. Either way processes that have the bundle open keep what they have
// mapped. Throws Error(kInvalid) if there is no such model, tasks that stay need it, nothing would
// be left or (`compact`) the bundle is damaged; Error(kIo) if the bundle is none, cannot be written
// to, is being changed by another process for longer than `wait` or (`compact`) its folder holds
// other files. The bundle is then as it was.
RemoveReport remove_models(const std::filesystem::path& bundle,
                           const std::vector<std::string>& names, const RemoveOptions& options);

}  // namespace wshare
