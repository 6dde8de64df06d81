#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "bundle/distinct.h"
#include "bundle/plan.h"
#include "model/tensors.h"
#include "wshare/models.h"
#include "wshare/progress.h"

namespace wshare {

struct DraftOptions {
  uint64_t min_bytes = 1024;  // smaller tensors stay in their models
  unsigned threads = 0;       // 0: all cores
  ProgressFn progress;
};

// Models on their way into a bundle: read, compared, every tensor with its place. Nothing is
// written yet. Spans in it point into the maps of `models`.
struct Draft {
  std::vector<ModelInput> inputs;
  std::vector<ScannedModel> models;  // parallel to inputs
  Contents contents;                 // of the tensors that leave their models
  std::vector<PlanModel> planned;    // [m].tensors[t] belongs to models[m].tensors[t]
  Plan plan;
};

// Reads `inputs` and finds a place for each tensor; every byte of the weights is read once.
//
// Throws what scan_model() throws.
Draft make_draft(std::vector<ModelInput> inputs, const DraftOptions& options);

// Returns the models that use each content, in order: users_of(draft)[content].
std::vector<std::vector<uint32_t>> users_of(const Draft& draft);

// What the files of the inputs hold; an external file that several models use counts once in
// `total`.
struct InputBytes {
  std::vector<uint64_t> of_model;  // the model file and its external files
  uint64_t total = 0;
};
InputBytes input_bytes(const std::vector<ScannedModel>& models);

}  // namespace wshare
