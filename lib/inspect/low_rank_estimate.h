#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "bundle/draft.h"
#include "inspect/findings.h"
#include "wshare/inspect.h"

namespace wshare {

// Returns what extract-lora might make of the models of `draft`, or nothing if no weight looks as
// if it were another model's plus a low rank. Adds each such weight to `findings`.
//
// The base is the model that has most in common with others, in `common_bytes`. Of each weight that
// differs only some rows are looked at, so sizes are estimates. Without OpenBLAS there is no
// estimate.
std::optional<ExtractEstimate> estimate_extraction(const Draft& draft,
                                                   const std::vector<uint64_t>& common_bytes,
                                                   unsigned threads, Findings& findings);

}  // namespace wshare
