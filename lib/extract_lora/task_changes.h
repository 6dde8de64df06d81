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
#include "extract_lora/factors.h"
#include "extract_lora/unmerged_pair.h"
#include "lora/branch_sites.h"
#include "model/scan.h"
#include "wshare/extract_lora.h"

namespace wshare {

// A weight of a task that is the base's plus left · right, rounded.
struct MergedWeight {
  StoredFactors factors;
  std::span<const std::byte> residual;  // empty: the prediction is exact, or none was asked for
  bool predicted = false;               // the prediction is exact without a residual
  bool is_head = false;                 // of full rank: it was trained as a whole
  double relative_error = 0, max_abs_error = 0;
};

// What a tensor of a task is to the base.
struct TaskTensor {
  int32_t base = kAbsent;  // its counterpart there
  TensorClass tensor_class = TensorClass::kReplaced;
  bool transposed = false;  // it is to be compared as the transpose of that
};

// What a task is to the base. Everything is by tensor of the task.
struct TaskChanges {
  std::vector<TaskTensor> tensors;
  std::map<size_t, DeltaReport> low_rank;  // of class kLowRank
  std::map<size_t, MergedWeight> merged;
  std::set<size_t> vectors;  // of BranchSites::vectors, replaced, to travel as inputs
  std::map<size_t, std::vector<std::string>> notes;
  std::vector<UnmergedPair> unmerged;
  std::map<int32_t, StoredFactors> stacked;  // [weight of the base]: of its several pairs
  std::vector<std::string> reasons;  // why the task is no adapter over the base; empty: it is one
  std::map<std::string, std::string> renamed_outputs;  // the base's by the task's

  // The factors of every weight that changes, by tensor of the base.
  std::map<int32_t, const StoredFactors*> factors() const;
};

// Compares `task` with `base` and takes its changes apart; factors and residuals lie in `scratch`.
//
// The result does not depend on the number of threads.
TaskChanges find_changes(const ComparisonBase& base, const BranchSites& sites,
                         const ScannedModel& task, const ExtractOptions& options,
                         SharedScratch& scratch);

}  // namespace wshare
