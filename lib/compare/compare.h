#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "compare/align.h"
#include "compare/lora_modules.h"
#include "compare/low_rank.h"
#include "compare/matrix.h"
#include "model/tensors.h"
#include "wshare/progress.h"
#include "wshare/tensor_class.h"

namespace wshare {

struct CompareOptions {
  uint64_t min_bytes = 0;  // smaller tensors are left out of ModelComparison::tensors
  DeltaOptions delta;
  unsigned threads = 0;  // 0: all cores
  ProgressFn progress;
};

// A tensor of one model and its counterpart in the other.
struct TensorMatch {
  int32_t a = kAbsent, b = kAbsent;  // tensors; kAbsent in a: added, in b: removed
  TensorClass tensor_class = TensorClass::kReplaced;
  bool transposed = false;           // b is to be compared as the transpose of a
  bool ambiguous = false;            // added or removed, but several counterparts fit equally well
  std::optional<CastResult> cast;    // where the float types differ
  std::optional<DeltaReport> delta;  // of float matrices that differ
};

// How two models belong together. Tensor numbers are indices in ScannedModel::tensors.
struct ModelComparison {
  ComputeGraph graph_a, graph_b;                // LoRA pairs bypassed
  std::vector<int64_t> contents_a, contents_b;  // [tensor]: equal numbers, equal bytes
  Alignment alignment;
  std::vector<LoraModule> lora_a, lora_b;  // pairs that the other model does not have
  // Every tensor of b with its counterpart, in b's order; then those of a that b has nothing of.
  std::vector<TensorMatch> tensors;
};

// Compares two models; every byte of their weights is read once, those of tensors that differ more
// often. Memory: see analyze_delta(), once per thread.
//
// The result does not depend on the number of threads.
ModelComparison compare_models(const ScannedModel& a, const ScannedModel& b,
                               const CompareOptions& options);

}  // namespace wshare
