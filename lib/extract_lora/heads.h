#pragma once

#include <cstddef>
#include <vector>

#include "compare/compare.h"
#include "extract_lora/factors.h"
#include "lora/branch_sites.h"
#include "model/scan.h"

namespace wshare {

// Returns the tensors of `task`, in order, that are no low rank away from the base's, stand where
// that stands, and may travel as pairs of their full rank: heads that were trained along with an
// adapter. They are few against the base, or there are none; of a full fine-tune nothing travels.
std::vector<size_t> find_heads(const ModelComparison& comparison, const BranchSites& sites,
                               const ScannedModel& base, const ScannedModel& task);

// Returns the pair that turns `from` into `to`, both as the base stores its weight at `site`.
StoredFactors store_head(const MatrixView& from, const MatrixView& to, const BranchSite& site,
                         SharedScratch& scratch);

}  // namespace wshare
