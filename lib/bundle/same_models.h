#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "format/manifest/manifest.h"

namespace wshare {

// Returns for each of `models`, of one bundle, the first one before it that says the same: what the
// bundle serves and the bytes of the original are equal. Such models are names of one content,
// links or copies; all of them are kept. Bytes of external files that no tensor has are not asked
// for, and a model without an original is never the same as another.
std::vector<std::optional<size_t>> find_same_models(std::span<const ModelRecord> models);

}  // namespace wshare
