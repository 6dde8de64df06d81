#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "wshare/bundled_model.h"
#include "wshare/extract_lora.h"
#include "wshare/models.h"
#include "wshare/progress.h"
#include "wshare/split_uses.h"
#include "wshare/tie_transposed.h"

namespace wshare {

struct AppendOptions {
  // A model of the bundle: what is appended becomes tasks over it, as extract_lora() makes them.
  // Empty: the one base of the bundle's tasks, if there are any.
  std::string base;
  bool as_models = false;                    // make no tasks
  uint64_t min_bytes = 1024;                 // smaller tensors stay in their models
  SplitUses split_uses = SplitUses::kNever;  // of models; tasks have the names of their base
  // Of models, as in DedupeOptions:
  bool keep_identity = false;
  TieTransposed tie_transposed = TieTransposed::kNever;
  bool allow_other_bits = false;
  bool dry_run = false;                      // find out everything, write nothing
  unsigned threads = 0;                      // 0: all cores
  // How long to wait for another command that changes the bundle.
  std::chrono::milliseconds wait{10000};
  ProgressFn progress;
};

struct AppendReport {
  // The new ones that are no tasks; shared_bytes: also what the bundle had before.
  std::vector<DedupedModel> models;
  std::string base;                   // of `tasks`; empty: nothing was to be a task
  std::vector<ExtractedTask> tasks;   // the new ones
  std::vector<std::string> no_tasks;  // why `models` are none, in words
  bool new_base = false;              // the base was written anew, with more branches
  uint64_t bytes_in = 0;              // of the new models, every file once
  uint64_t bytes_before = 0;          // of all files of the bundle
  uint64_t bytes_out = 0;
  uint64_t tensors = 0;  // of the new models, in blobs
  uint64_t distinct_tensors = 0;
  std::vector<InlineTensor> left_inline;
  std::vector<TransposedPair> transposed;  // with AppendOptions::tie_transposed only
};

// Adds `inputs` to the bundle in the folder `bundle` and returns what it did.
//
// Tensors that the bundle has stay where they are; others go to new blobs; no file that is there is
// changed but manifest.json, which is replaced in one step. Sessions over the bundle go on. A
// bundle with tasks gets tasks, of all inputs that are variants of their base. Throws
// Error(kInvalid) if the bundle has a model or task of that name, its tasks have several bases,
// names of tasks are to be split, an input is malformed or the bundle is damaged; Error(kIo) if the
// bundle is none, holds an input, cannot be written to or is being changed by another process for
// longer than `wait`. The bundle is then as it was.
AppendReport append(const std::filesystem::path& bundle, const std::vector<ModelInput>& inputs,
                    const AppendOptions& options);

}  // namespace wshare
