#pragma once

#include <vector>

#include "bundle/draft.h"
#include "bundle/write.h"
#include "wshare/bundled_model.h"

namespace wshare {

// What became of the models of a draft.
struct ModelFigures {
  std::vector<DedupedModel> models;
  std::vector<InlineTensor> left_inline;
  uint64_t bytes_in = 0;  // every file once
  uint64_t tensors = 0;   // in blobs
  uint64_t distinct_tensors = 0;
};

// Returns the figures of `draft`, whose files are `files`. What the bundle had before counts as
// shared.
ModelFigures model_figures(const Draft& draft, const BundleFiles& files);

}  // namespace wshare
