#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "compare/compare.h"
#include "extract_lora/base_sites.h"
#include "extract_lora/factors.h"
#include "model/tensors.h"

namespace wshare {

// A LoRA pair that the task holds unmerged, with the scaling folded into B.
struct UnmergedPair {
  size_t module = 0;         // index in ModelComparison::lora_b
  int32_t weight = kAbsent;  // tensor of the base
  StoredFactors factors;
  MatrixView a, b;                        // the task's own tensors, seen as [in, rank], [rank, out]
  std::span<const std::byte> b_residual;  // what makes b of factors.b / scaling
  bool predicted = false;                 // that is b without a residual
  double max_abs_error = 0;               // of it; not finite if B or the stored one is not
};

// The weight of the base that a pair goes to.
struct PairWeight {
  int32_t tensor = kAbsent;
  MatrixView matrix;
  const BaseSite& site;
};

// Returns pair `module` of `comparison`, whose model b is `task`, as an adapter holds it, in memory
// of `scratch`. Without `residual` nothing is kept that makes B exact.
UnmergedPair store_pair(const ModelComparison& comparison, size_t module, const ScannedModel& task,
                        const PairWeight& weight, bool residual, SharedScratch& scratch);

}  // namespace wshare
