#pragma once

#include <filesystem>

#include "model/tensors.h"

namespace wshare {

// Returns what `task` is without its unmerged LoRA pairs, or the same model where it has none. Its
// weights stay in the files of `task`; its graph is written into `folder`.
//
// Throws Error(kUnsupported) if a pair cannot be taken out.
ScannedModel scan_without_lora(const std::filesystem::path& task,
                               const std::filesystem::path& folder);

}  // namespace wshare
