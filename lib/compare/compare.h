#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "compare/adapter_branches.h"
#include "compare/align.h"
#include "compare/contents.h"
#include "compare/lora_modules.h"
#include "compare/low_rank/low_rank.h"
#include "compare/low_rank/matrix.h"
#include "compare/quantized.h"
#include "model/scan.h"
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

// A graph with its LoRA pairs bypassed.
struct BypassedGraph {
  ComputeGraph graph;
  std::vector<LoraModule> lora;
};

// A model that others are compared with. What a comparison needs of it is made once: its graph and
// the numbers of its contents. Borrows the model, which must outlive it.
class ComparisonBase {
 public:
  explicit ComparisonBase(const ScannedModel& model, unsigned threads = 0,
                          const ProgressFn& progress = {});
  ComparisonBase(const ComparisonBase&) = delete;
  ComparisonBase& operator=(const ComparisonBase&) = delete;

  const ScannedModel& model() const { return *side_.model; }
  // Without tensor bytes.
  const onnx::ModelProto& proto() const { return skeleton_.model(); }
  const ComputeGraph& graph() const { return bypassed_.graph; }
  const std::vector<LoraModule>& lora() const { return bypassed_.lora; }
  const NumberedContents& contents() const { return contents_; }
  const AlignSide& side() const { return side_; }

 private:
  Skeleton skeleton_;
  BypassedGraph bypassed_;
  NumberedContents contents_;
  AlignSide side_;  // of the three
};

// How two models belong together. Tensor numbers are indices in ScannedModel::tensors.
struct ModelComparison {
  // LoRA pairs bypassed. That of a lives as long as the ComparisonBase.
  const ComputeGraph& graph_a;
  ComputeGraph graph_b;
  const std::vector<int64_t>& contents_a;  // [tensor]: equal numbers, equal bytes
  std::vector<int64_t> contents_b;
  Alignment alignment;
  std::vector<LoraModule> lora_a, lora_b;             // pairs that the other model does not have
  std::vector<AdapterBranch> branches_a, branches_b;  // other adapters that only one model has
  // Every tensor of b with its counterpart, in b's order; then those of a that b has nothing of.
  std::vector<TensorMatch> tensors;
  uint64_t steps = 0;  // what time grows with: nodes and tensors looked at, for tests
};

// Compares two models; every byte of b's weights is read once, and of a's those that may be equal;
// those of tensors that differ more often. Memory: see analyze_delta(), once per thread. Of a
// tensor that is used at several places, in whichever direction, there is one match.
//
// The result does not depend on the number of threads.
ModelComparison compare_models(const ComparisonBase& a, const ScannedModel& b,
                               const CompareOptions& options);

}  // namespace wshare
