#pragma once

#include <cstdint>
#include <vector>

#include "bundle/write.h"
#include "extract_lora/task_draft.h"
#include "wshare/extract_lora.h"

namespace wshare {

// Says what became of the tasks. `draft` has been written as `files`; draft.tasks belong to
// `tasks`. Tensors under `min_bytes` are left out unless they kept a task from being an adapter.
ExtractReport make_report(const Draft& draft, const std::vector<ExtractTask>& tasks,
                          const BundleFiles& files, uint64_t bytes_in, uint64_t min_bytes);

}  // namespace wshare
