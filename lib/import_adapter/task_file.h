#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "format/manifest/manifest.h"
#include "format/named_tensor.h"
#include "import_adapter/adapter.h"
#include "import_adapter/match_modules.h"
#include "lora/branch_sites.h"
#include "util/scratch.h"

namespace wshare {

// What the .onnx_adapter of the task holds. Tensors borrow from the adapter and the scratch memory.
struct TaskFile {
  std::vector<NamedTensor> parameters;  // A and B by tensor of the base, then values for inputs
};

// Returns the parameters for `base` that `adapter` has: the modules of `matches`, and the values
// for inputs of this base. A and B get the type that the base reads; the scaling is multiplied into
// B in double, and what is rounded is rounded once.
//
// Throws Error(kInvalid) if a value is no number or too large for the type, or a value for an input
// has another type or shape than that, or A or B of a branch comes without the other.
TaskFile make_task_file(const GivenAdapter& adapter, const std::vector<ModuleMatch>& matches,
                        const BranchSites& base, Scratch& scratch);

// Returns the rank that `factor`, A of `weight` as a branch takes it, has.
int64_t rank_of(const BranchSite& weight, const NamedTensor& factor);

// The parameters as the manifest says them.
std::vector<ParameterRecord> records_of(const TaskFile& file);

}  // namespace wshare
