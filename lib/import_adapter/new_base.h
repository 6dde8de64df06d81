#pragma once

#include <string>
#include <vector>

#include "import_adapter/base_weights.h"
#include "model/tensors.h"

namespace wshare {

// Returns the bytes of a model like `model`, which lies in a bundle, with inputs for A and B of
// each of `weights`. Its external data stays where it is.
std::string add_inputs(const ScannedModel& model, const std::vector<BaseWeight>& weights);

}  // namespace wshare
