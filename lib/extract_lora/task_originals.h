#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "bundle/draft.h"
#include "extract_lora/task_draft.h"

namespace wshare {

// Returns, for each tensor of the task's original, where restore finds it. Empty where its own
// model gives the original back by itself. `draft` has its plan; models[0] is the base.
std::vector<DraftTaskTensor> place_originals(const ExtractTask& task, const ScannedModel& original,
                                             const Draft& draft, bool has_residual);

// Returns all residuals of the task, as place_originals() counts them.
std::vector<std::span<const std::byte>> residuals_of(const ExtractTask& task);

}  // namespace wshare
