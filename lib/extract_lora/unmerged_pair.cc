#include "extract_lora/unmerged_pair.h"

#include "compare/layers.h"
#include "compare/low_rank/matrix.h"

namespace wshare {
namespace {

// The factor `value`, which the node that reads it takes as [from, to], seen so.
MatrixView factor_view(const ComputeGraph& graph, const ScannedModel& task, int32_t value) {
  const GraphValue& found = graph.values[static_cast<size_t>(value)];
  const MatrixView stored = *matrix_of(task.tensors[static_cast<size_t>(found.tensor)]);
  const GraphNode& node = graph.nodes[static_cast<size_t>(found.uses.front().node)];
  return found.transposed != reads_out_in(node) ? transpose_of(stored) : stored;
}

// How the task's B follows from the stored one: divided by the scaling, which rounds unless that is
// a power of two.
Prediction prediction_of_b(const UnmergedPair& pair) {
  const bool conv = pair.factors.layout == FactorLayout::kConv;
  MatrixView stored{pair.factors.b, pair.factors.dtype, pair.b.rows, pair.b.cols, conv};
  if (pair.b.transposed) stored = transpose_of(stored);  // the task stores [out, rank]
  return {pair.b.dtype, stored.rows, stored.cols, stored, 1 / pair.scaling, {}, {}};
}

// Returns a copy of `view` in memory of `scratch`, each element multiplied by `scaling`.
std::span<const std::byte> copy_of(const MatrixView& view, double scaling, SharedScratch& scratch) {
  const std::span<std::byte> copy = scratch.allocate(view.bytes.size());
  copy_matrix(view, scaling, copy);
  return copy;
}

}  // namespace

UnmergedPair store_pair(const ComputeGraph& graph, const LoraModule& module,
                        const ScannedModel& task, const PairWeight& weight, bool residual,
                        SharedScratch& scratch) {
  const BranchSite& site = weight.site;
  const bool conv = site.layout == FactorLayout::kConv;
  UnmergedPair pair;
  pair.weight = weight.tensor;
  pair.tensor_a = graph.values[static_cast<size_t>(module.a)].tensor;
  pair.tensor_b = graph.values[static_cast<size_t>(module.b)].tensor;
  pair.scaling = module.scaling;
  pair.a = factor_view(graph, task, module.a);
  pair.b = factor_view(graph, task, module.b);
  pair.factors = {site.layout,
                  site.dtype,
                  weight.matrix.rows,
                  weight.matrix.cols,
                  static_cast<uint64_t>(module.rank),
                  copy_of(conv ? transpose_of(pair.a) : pair.a, 1, scratch),
                  copy_of(conv ? transpose_of(pair.b) : pair.b, pair.scaling, scratch)};
  const CodedResidual coded = code_residual(prediction_of_b(pair), pair.b.bytes, residual, scratch);
  pair.predicted = coded.report.differing_elements == 0;
  pair.max_abs_error = coded.report.max_abs_error;
  pair.b_residual = coded.bytes;
  return pair;
}

}  // namespace wshare
