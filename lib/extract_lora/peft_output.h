#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "extract_lora/task_draft.h"
#include "lora/peft.h"
#include "wshare/extract_lora.h"

namespace wshare {

// A task on its way to an adapter of PEFT. Factors borrow from the task.
struct PeftTask {
  std::string name;
  std::vector<LoraFactors> modules;
  std::string reason;  // why it gets none, or empty
};

// Returns what PEFT can hold of each of `tasks`: the factors of weights at `sites` of the
// base, under the paths of their modules. A task with more than LoRA gets none.
//
// Paths are those that the exporter left; `map`, if it is not empty, is a JSON object that has
// others: by name of a weight, by path, or by the front of paths, whole names, of which "" leaves
// nothing. Throws Error(kInvalid) if a weight has no path, two have one
// or the map is no such object; Error(kUnsupported) if several modules read a weight; Error(kIo)
// if the map cannot be read.
std::vector<PeftTask> make_peft_tasks(const BranchSites& sites,
                                      const std::vector<ExtractTask>& tasks,
                                      const std::filesystem::path& map);

// Refuses `folder` as a place for adapters of PEFT.
//
// Throws Error(kIo) if it is, holds or lies in `bundle`, is no folder, or is not empty; with
// `replace` it may hold folders of adapters and nothing else.
void check_peft_target(const std::filesystem::path& folder, const std::filesystem::path& bundle,
                       bool replace);

// Writes a folder for each of `tasks` that has modules into `folder`.
void write_peft_tasks(const std::vector<PeftTask>& tasks, const std::string& base,
                      const std::filesystem::path& folder);

// Says in `report` which tasks have got an adapter of PEFT.
void add_to_report(const std::vector<PeftTask>& tasks, ExtractReport& report);

}  // namespace wshare
