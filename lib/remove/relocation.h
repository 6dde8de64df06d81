#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "bundle/distinct.h"
#include "bundle/plan.h"
#include "format/bundle_files.h"
#include "format/manifest/extents.h"
#include "format/manifest/manifest.h"
#include "wshare/progress.h"

namespace wshare {

// What packs have beside tensors of models, as one blob: in the order in which it lies in the old
// ones. All in one, since ONNX Runtime looks for packed weights beside the weights.
struct PackBlob {
  std::vector<std::pair<Extent, uint64_t>> pieces;  // an old range, and its new offset; rising
  uint64_t size = 0;
};

// Where all that lies in the blobs of a bundle goes.
struct Relocation {
  Contents contents;                  // of what models and archived ones have in blobs of tensors;
                                      // borrows from the old ones
  Plan plan;                          // for them
  PackBlob packs;                     // follows the blobs of the plan, unless it has no pieces
  std::map<ExtentKey, Extent> moved;  // old extent -> new extent, also of packs
  // New extents that something is computed from, and that no tensor has: nothing else would say
  // what bytes they hold.
  std::vector<GapRecord> bases;
};

// Lays out the tensors of `manifest` as dedupe would; `files` holds its blobs. What archived models
// have, or are computed from, beside their archives is laid out as tensors of models of that name.
//
// Throws Error(kInvalid) if bytes do not have the manifest's hash.
Relocation plan_relocation(const Manifest& manifest, const StoredFiles& files, unsigned threads,
                           const ProgressFn& progress);

// Throws Error(kInvalid) that says what is damaged in `file` of a bundle.
[[noreturn]] void fail_damaged(const std::string& file, const std::string& what);

}  // namespace wshare
