#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "compare/compare.h"
#include "extract_lora/base_sites.h"
#include "extract_lora/factors.h"
#include "extract_lora/unmerged_pair.h"
#include "model/tensors.h"
#include "wshare/extract_lora.h"

namespace wshare {

// A weight of a task that is the base's plus left · right, rounded.
struct MergedWeight {
  StoredFactors factors;
  std::span<const std::byte> residual;  // empty: the prediction is exact, or none was asked for
  bool predicted = false;               // the prediction is exact without a residual
  double relative_error = 0, max_abs_error = 0;
};

// What a task is to the base.
struct TaskChanges {
  ModelComparison comparison;
  // All tensors were compared, so a match of a tensor of the task has that tensor's number.
  std::map<size_t, MergedWeight> merged;  // by match
  std::vector<UnmergedPair> unmerged;
  std::set<size_t> vectors;  // matches: of BaseSites::vectors, replaced, to travel as inputs
  std::map<size_t, std::vector<std::string>> notes;  // by match
  std::vector<std::string> reasons;  // why the task is no adapter over the base; empty: it is one
};

// Compares `task` with `base` and takes its changes apart; factors and residuals lie in `scratch`.
//
// The result does not depend on the number of threads.
TaskChanges find_changes(const ScannedModel& base, const BaseSites& sites, const ScannedModel& task,
                         const ExtractOptions& options, SharedScratch& scratch);

}  // namespace wshare
