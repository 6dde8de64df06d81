#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "compare/adapter_branches.h"
#include "compare/align.h"
#include "compare/lora_modules.h"
#include "compare/low_rank.h"
#include "compare/matrix.h"
#include "compare/quantized.h"
#include "model/tensors.h"
#include "wshare/progress.h"
#include "wshare/tensor_class.h"

namespace wshare {

// A tensor of one model and its counterpart in the other.
struct TensorMatch {
  int32_t a = kAbsent, b = kAbsent;  // tensors; kAbsent in a: added, in b: removed
  TensorClass tensor_class = TensorClass::kReplaced;
  bool transposed = false;           // b is to be compared as the transpose of a
  bool ambiguous = false;            // added or removed, but several counterparts fit equally well
  std::optional<CastResult> cast;    // where the float types differ
  std::optional<DeltaReport> delta;  // of float matrices that differ
  std::optional<QuantizedChange> quantized;  // of weights that differ, one of them quantized
};

// Takes what one tensor of class kLowRank changed: its index in ModelComparison::tensors, the match
// as it will stand there, and the factors of the difference as a matrix of tensor a
// (matrix_of(a)), also where b is stored transposed.
using OnLowRank = std::function<void(size_t, const TensorMatch&, LowRankFactors&&)>;

struct CompareOptions {
  uint64_t min_bytes = 0;  // smaller tensors are left out of ModelComparison::tensors
  DeltaOptions delta;
  unsigned threads = 0;  // 0: all cores
  ProgressFn progress;
  OnLowRank on_low_rank;  // once per tensor, on any thread, in any order; what it throws ends all
};

// How two models belong together. Tensor numbers are indices in ScannedModel::tensors.
struct ModelComparison {
  ComputeGraph graph_a, graph_b;                // LoRA pairs bypassed
  std::vector<int64_t> contents_a, contents_b;  // [tensor]: equal numbers, equal bytes
  Alignment alignment;
  std::vector<LoraModule> lora_a, lora_b;             // pairs that the other model does not have
  std::vector<AdapterBranch> branches_a, branches_b;  // other adapters that only one model has
  // Every tensor of b with its counterpart, in b's order; then those of a that b has nothing of.
  std::vector<TensorMatch> tensors;
};

// Compares two models; every byte of their weights is read once, those of tensors that differ more
// often. Memory: see analyze_delta(), once per thread. Of a tensor that is used at several places,
// in whichever direction, there is one match.
//
// The result does not depend on the number of threads.
ModelComparison compare_models(const ScannedModel& a, const ScannedModel& b,
                               const CompareOptions& options);

}  // namespace wshare
