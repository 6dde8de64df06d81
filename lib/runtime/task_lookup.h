#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "format/named_tensor.h"
#include "runtime/bundle_state.h"

namespace wshare {

// Returns the task called `name` over the model `base`, or nothing.
std::optional<TaskRecord> find_task(const BundleState& bundle, const std::string& base,
                                    const std::string& name);

// Throws Error(kInvalid) that there is no task `name`, only `names`; or, if `is_newer`, that these
// are of another `base` than the bundle has now.
[[noreturn]] void refuse_unknown(const std::string& name, const std::string& base,
                                 const std::vector<std::string>& names, bool is_newer);

// Throws Error(kInvalid) if the task has a model of its own.
void require_over_base(const TaskRecord& task);

// Throws Error(kInvalid) unless `parameters`, those of the adapter `file`, are what the manifest
// lists for `task`. The file's hash says that it is the manifest's; this, that the list is its own.
void check_is_listed(const TaskRecord& task, const std::filesystem::path& file,
                     std::span<const NamedTensor> parameters);

}  // namespace wshare
