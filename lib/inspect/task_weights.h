#pragma once

#include <vector>

#include "format/bundle_files.h"
#include "format/manifest/manifest.h"
#include "wshare/inspect.h"

namespace wshare {

// Returns the weights that `task` has as a base's plus a low rank, in the order of the manifest.
//
// Strengths are read from the factors in `files`; they stay empty where such a file
// is not as the manifest says, and for pairs that were never merged, whose directions are no
// singular ones.
std::vector<InspectedTaskWeight> weights_of(const TaskRecord& task, const StoredFiles& files);

}  // namespace wshare
