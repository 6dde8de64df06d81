#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "format/named_tensor.h"
#include "import_adapter/candidates.h"
#include "util/scratch.h"

namespace wshare {

// A weight or bias that an adapter holds whole, and its place in one base.
struct WholeMatch {
  size_t given = 0;                  // index in GivenAdapter::whole
  int32_t tensor = -1;               // of the base
  const BranchSite* site = nullptr;  // of a weight; null of a vector
  bool turned = false;               // the adapter has the transpose of what the base stores
  bool same = false;                 // it is the base's, at least when rounded to its type
};

// Returns for each of `bases` where `tensors` belong in it, by tensor. Names end in ".weight" or
// ".bias"; a weight is found by the path of its module, as match_modules() does, a vector by its
// name. `stored_in_out`: linear layers have [in, out] (Conv1D of GPT-2), not [out, in].
//
// Throws Error(kInvalid) if one has no place in any base or another shape than what stands there (a
// vocabulary that has grown, other labels), or holds no finite floats; Error(kUnsupported) if it
// was trained and cannot travel.
std::vector<std::vector<WholeMatch>> match_whole_tensors(const std::vector<NamedTensor>& tensors,
                                                         bool stored_in_out,
                                                         const std::vector<MatchedBase>& bases);

// Returns what gives `base` the trained one of `match`: A and B of a pair of full rank, or the
// vector. Their bytes lie in `scratch`.
std::vector<NamedTensor> parameters_of(const WholeMatch& match, const NamedTensor& given,
                                       const MatchedBase& base, Scratch& scratch);

}  // namespace wshare
