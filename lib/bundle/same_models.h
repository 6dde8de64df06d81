#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "bundle/draft.h"

namespace wshare {

// Returns for each model of `draft` the first one before it that says the same: the bytes of its
// file, the names of its external files and the tensors in them are equal. Such models are names of
// one content, links or copies; all of them are kept.
std::vector<std::optional<size_t>> find_same_models(const Draft& draft);

}  // namespace wshare
