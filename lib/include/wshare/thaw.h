#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "wshare/progress.h"

namespace wshare {

struct ThawOptions {
  bool dry_run = false;  // find out everything, write nothing
  unsigned threads = 0;  // 0: all cores
  // How long to wait for another command that changes the bundle.
  std::chrono::milliseconds wait{10000};
  ProgressFn progress;
};

struct ThawedModel {
  std::string name;
  uint64_t bytes = 0;         // of its .onnx and its tensors, equal ones once
  uint64_t shared_bytes = 0;  // of tensors that stay where they are, since the bundle has them
};

struct ThawReport {
  std::vector<ThawedModel> models;
  uint64_t bytes_before = 0;  // of all files of the bundle
  uint64_t bytes_out = 0;
  uint64_t unused_bytes = 0;  // in blobs that stay, needed by nothing any more
};

// Makes the archived models `names` of the bundle in the folder `bundle` models that run again,
// with the graphs and tensors that they had, bit for bit, and returns what it did.
//
// Tensors that the bundle has stay where they are; others go to new blobs. Sessions that are open
// go on. Throws Error(kInvalid) if there is no such archived model, or what it is computed from is
// damaged; Error(kIo) if the bundle is none, cannot be written to or is being changed by another
// process for longer than `wait`. The bundle is then as it was.
ThawReport thaw(const std::filesystem::path& bundle, const std::vector<std::string>& names,
                const ThawOptions& options);

}  // namespace wshare
