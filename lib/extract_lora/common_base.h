#pragma once

#include <filesystem>
#include <functional>

#include "model/scan.h"

namespace onnx {
class ModelProto;
}

namespace wshare {

// Returns what `model` is once `edit` was applied to its graph. Its weights stay in its files; the
// graph is written into `folder`.
ScannedModel scan_edited(const ScannedModel& model,
                         const std::function<void(onnx::ModelProto&)>& edit,
                         const std::filesystem::path& folder);

// Returns what `task` is without its unmerged LoRA pairs, or the same model where it has none. Its
// weights stay in the files of `task`; its graph is written into `folder`.
//
// Throws Error(kUnsupported) if a pair cannot be taken out.
ScannedModel scan_without_lora(const std::filesystem::path& task,
                               const std::filesystem::path& folder);

}  // namespace wshare
