#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "compare/lora_modules.h"
#include "extract_lora/factors.h"
#include "model/scan.h"

namespace wshare {

// A LoRA pair that the task holds unmerged, with the scaling folded into B.
struct UnmergedPair {
  int32_t weight = kAbsent;                        // tensor of the base
  int32_t tensor_a = kAbsent, tensor_b = kAbsent;  // of the task
  double scaling = 1;
  StoredFactors factors;
  MatrixView a, b;                        // the task's own tensors, seen as [in, rank], [rank, out]
  std::span<const std::byte> b_residual;  // what makes b of factors.b / scaling
  bool predicted = false;                 // that is b without a residual
  // Where the weight has several pairs, the adapter holds them as one of the sum of their ranks:
  // the ranks before this one's. Of its two factors the one whose ranks are rows lies there in a
  // piece.
  std::optional<uint64_t> first_rank;
  double max_abs_error = 0;  // of it; not finite if B or the stored one is not
};

// The weight of the base that a pair goes to.
struct PairWeight {
  int32_t tensor = kAbsent;
  MatrixView matrix;
  const BranchSite& site;
};

// Returns the pair `module` of `task`, whose graph is `graph`, as an adapter holds it, in memory of
// `scratch`. Without `residual` nothing is kept that makes B exact.
UnmergedPair store_pair(const ComputeGraph& graph, const LoraModule& module,
                        const ScannedModel& task, const PairWeight& weight, bool residual,
                        SharedScratch& scratch);

// Returns the factors of all `pairs`, of one weight, as those of one pair, in memory of `scratch`,
// and sets the first rank of each.
StoredFactors stack_pairs(const std::vector<UnmergedPair*>& pairs, SharedScratch& scratch);

}  // namespace wshare
