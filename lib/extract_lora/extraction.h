#pragma once

#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "bundle/draft.h"
#include "bundle/write.h"
#include "extract_lora/factors.h"
#include "extract_lora/peft_output.h"
#include "extract_lora/stored_base.h"
#include "extract_lora/task_draft.h"
#include "util/temporary_folder.h"
#include "wshare/extract_lora.h"

namespace wshare {

// base + tasks ─ scan ─ compare each with the base ─ adapter, or a model of its own ─ draft ─ write
//
// The base and the models of their own go down the road of dedupe; adapters and residuals are files
// beside it. One task is compared at a time, so memory does not grow with their number but for
// factors and residuals, which lie in temporary files where they are large.
class Extraction {
 public:
  // `inputs` are the base, then the tasks. Borrows `options`.
  Extraction(std::vector<ModelInput> inputs, const ExtractOptions& options)
      : inputs_(std::move(inputs)), options_(options) {}

  // The base is one of a bundle: what is made comes to that. `tasks` that are no variants of it
  // become models of the bundle.
  Extraction(std::vector<ModelInput> tasks, StoredBase base, const ExtractOptions& options);

  // Reads all models and compares them.
  //
  // Throws Error(kInvalid) if a task is no variant of the base, what scan_model() throws.
  void read();

  // The models that were given, once they are read.
  std::vector<const ScannedModel*> inputs() const;
  // Why some are no tasks, in words.
  const std::vector<std::string>& no_tasks() const { return no_tasks_; }

  // Makes the draft of the bundle.
  void compose();

  // The draft as compose() made it.
  const Draft& draft() const { return draft_; }
  // What changes in the bundle of a stored base beside what the draft brings.
  const std::optional<StoredBase>& stored_base() const { return stored_; }

  BundleFiles write(const std::filesystem::path& folder) const {
    return write_bundle(draft_, folder, options_.threads, options_.progress);
  }
  BundleFiles measure() const { return measure_bundle(draft_, options_.threads); }

  std::vector<PeftTask> peft_tasks() const;
  ExtractReport report(const BundleFiles& files) const;

 private:
  ScannedModel read_base();
  void count_bytes();
  std::optional<std::string> unrelated(const ExtractTask& task, const ScannedModel& model) const;
  void add_task(ExtractTask& task, ScannedModel model);
  void add_own_model(ExtractTask& task, ScannedModel model);
  void edit_base();

  std::vector<ModelInput> inputs_;
  const ExtractOptions& options_;
  std::optional<StoredBase> stored_;
  TemporaryFolder folder_;
  SharedScratch scratch_;
  std::vector<ScannedModel> scanned_;  // the base, then tasks_; moved into draft_ by compose()
  std::vector<std::pair<ModelInput, ScannedModel>> others_;  // no tasks
  std::vector<std::string> no_tasks_;
  BranchSites sites_;
  std::vector<ExtractTask> tasks_;
  std::set<int32_t> weights_, vectors_;  // of the base that some adapter changes
  Draft draft_;
  uint64_t bytes_in_ = 0;
};

}  // namespace wshare
