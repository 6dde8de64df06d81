#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "bundle/draft.h"
#include "extract_lora/task_changes.h"

namespace wshare {

// One task on its way through the extraction.
struct ExtractTask {
  ModelInput input;
  uint64_t bytes_in = 0;  // of its files
  TaskChanges changes;
  std::span<const std::byte> adapter;                           // the file; empty: none
  std::map<int32_t, std::pair<uint64_t, uint64_t>> factors_at;  // [weight of the base]: offsets of
                                                                // A and B in the adapter
  std::map<size_t, uint64_t> vectors_at;  // [tensor]: offsets of replaced vectors there
  std::vector<ParameterRecord> parameters;
  std::optional<uint32_t> model;  // of its own, in the draft
  std::set<int32_t> rewritten;    // tensors of the task, where its own model
                                  // reads the base's weight and a branch
};

// Makes the adapter of `task`: A and B of every weight that it changes, in the order of the base's
// tensors, then the vectors that it replaces, under the names that `base` has for them.
//
// Throws Error(kUnsupported) if it gets too large for its format.
void make_adapter(ExtractTask& task, const BranchSites& sites, const ScannedModel& base,
                  const ScannedModel& model, SharedScratch& scratch);

// Returns what becomes of the graph and tensors of a task's own model, and fills task.rewritten:
// merged weights become the base's and a constant branch, unless that is not exact enough.
ModelRewrite edit_own_model(ExtractTask& task, const ScannedModel& base, const ScannedModel& model,
                            const ExtractOptions& options);

}  // namespace wshare
