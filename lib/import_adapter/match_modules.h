#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "import_adapter/adapter.h"
#include "lora/base_weights.h"

namespace wshare {

// Returns for each of `modules` the index of its weight in `base.weights`.
//
// The paths must be equal, or one the end of the other: exporters and PEFT wrap models in modules
// of their own ("model.", "bert."). Equal paths go first, then those of weights with a longer one,
// then shorter ones of at least two names; among several the shapes decide. Throws
// Error(kInvalid) if none or several are left or two modules have one weight; Error(kUnsupported)
// if a weight can have no adapter.
std::vector<size_t> match_modules(const std::vector<GivenModule>& modules, const BaseWeights& base);

// Throws Error(kInvalid) unless the base `model` has each of `tensors`, in the layout of the base
// or transposed, at least when rounded to its type.
void check_base_weights(const std::vector<NamedTensor>& tensors, const BaseWeights& base,
                        const ScannedModel& model);

}  // namespace wshare
