#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "wshare/progress.h"

namespace wshare {

struct VerifyOptions {
  unsigned threads = 0;  // 0: as many as the machine has cores
  ProgressFn progress = {};
  // Files whose bytes are known to be as the manifest says: only their sizes are looked at.
  std::vector<std::string> known = {};
};

// One thing that is wrong with a bundle.
struct Damage {
  std::string kind;  // as in docs/cli.md
  std::string file;
  std::string tensor;  // or empty
  std::string message;
};

// Checks every byte of the bundle in `folder` against its manifest and returns all that is wrong:
// the manifest itself, sizes, the hash of every model file and every extent, zeros between extents,
// that each model refers to exactly the extents that the manifest names, that adapters hold the
// parameters that it names, and that the tensors which restore computes come out as they were.
//
// Throws Error(kIo) if there is no manifest, Error(kUnsupported) if its version is newer.
std::vector<Damage> verify(const std::filesystem::path& folder, const VerifyOptions& options = {});

}  // namespace wshare
