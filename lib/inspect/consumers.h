#pragma once

#include <string>
#include <vector>

#include "model/tensors.h"

namespace wshare {

// Returns for each of model.tensors the operator of the first node that reads it, also from a
// subgraph, or that holds it as an attribute; "" where there is none.
std::vector<std::string> first_consumers(const ScannedModel& model);

}  // namespace wshare
