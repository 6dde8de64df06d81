#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "wshare/bundled_model.h"
#include "wshare/models.h"
#include "wshare/progress.h"
#include "wshare/split_uses.h"
#include "wshare/tie_transposed.h"

namespace wshare {

struct DedupeOptions {
  uint64_t min_bytes = 1024;  // smaller tensors stay inline
  SplitUses split_uses = SplitUses::kNever;
  // False: what reads a weight of 64 KiB and more behind Identity, a Cast to its type or a Reshape
  // to its shape reads the weight itself.
  bool keep_identity = false;
  // Not together with split_uses.
  TieTransposed tie_transposed = TieTransposed::kNever;
  bool allow_other_bits = false;  // also tie where outputs may get other bits
  // A bundle, or empty: what it has in blobs of tensors stays there, so that its files are this
  // bundle's, too, and need not travel again. A blob of which less than half is used is left behind.
  std::filesystem::path like;
  bool dry_run = false;  // find out everything, write nothing
  bool explain = false;  // fill DedupeReport::placed
  bool replace = false;  // an existing bundle is replaced as a whole
  // How long to wait for another command that changes the bundle to be replaced.
  std::chrono::milliseconds wait{10000};
  unsigned threads = 0;  // 0: all cores
  ProgressFn progress;
};

struct DedupeReport {
  std::vector<DedupedModel> models;
  uint64_t bytes_in = 0;   // every file once
  uint64_t bytes_out = 0;  // all files of the bundle
  uint64_t tensors = 0;
  uint64_t distinct_tensors = 0;
  uint64_t like_bytes = 0;  // with DedupeOptions::like: of blobs that are those of that bundle
  std::vector<InlineTensor> left_inline;
  std::vector<TransposedPair> transposed;  // with DedupeOptions::tie_transposed only
  std::vector<PlacedTensor>
      placed;  // with DedupeOptions::explain only: it names every pair of models
  // A folder beside the bundle with files of others that came into a replaced one meanwhile and
  // could not come along; empty: there are none.
  std::string kept;
};

// Makes a bundle of `inputs` in the folder `bundle` and returns what it did.
//
// The bundle appears as a whole or not at all; inputs are never touched. Output bytes depend on
// inputs, names and the options above dry_run only (and on the bundle `like`). Throws Error(kIo) if `bundle` exists (and is not to
// be replaced, or holds files that are no part of a bundle), holds an input, or a file cannot be
// read or written or changed meanwhile; Error(kInvalid) if an input is malformed.
DedupeReport dedupe(const std::vector<ModelInput>& inputs, const std::filesystem::path& bundle,
                    const DedupeOptions& options);

}  // namespace wshare
