#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "import_adapter/adapter.h"
#include "import_adapter/candidates.h"

namespace wshare {

// A module, and its weight in one base: indices.
struct ModuleMatch {
  size_t module, weight;
};

// Returns for each of `bases` the modules that have a weight in it, by weight; no two have one.
//
// The paths must be equal, or one the end of the other: exporters and PEFT wrap models in modules
// of their own ("model.", "bert."). Equal paths go first, then those of weights with a longer one,
// then shorter ones of at least two names, in all bases together: "decoder.block.0.q" is not
// "block.0.q" of an encoder if a decoder has just that. Among several of one base the shapes
// decide. Throws Error(kInvalid) if a module has none in any base or several are left, or two
// modules have one weight; Error(kUnsupported) if a weight can have no adapter.
std::vector<std::vector<ModuleMatch>> match_modules(const std::vector<GivenModule>& modules,
                                                    const std::vector<MatchedBase>& bases);

// True if `base` has a weight that match_modules() may give to `module`.
bool has_weight(const GivenModule& module, const MatchedBase& base);

// Throws Error(kInvalid) unless each of `tensors` is a weight of one of `bases`, in its layout or
// transposed, at least when rounded to its type, and differs from none of the same path.
void check_base_weights(const std::vector<NamedTensor>& tensors,
                        const std::vector<MatchedBase>& bases);

}  // namespace wshare
