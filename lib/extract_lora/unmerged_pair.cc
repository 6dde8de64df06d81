#include "extract_lora/unmerged_pair.h"

#include <cstring>

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

// Copies the matrix `from`, of rows of `from_row` bytes, to `to`, whose rows have `to_row`.
void copy_rows(std::span<const std::byte> from, size_t from_row, std::span<std::byte> to,
               size_t to_row) {
  for (size_t row = 0; (row + 1) * from_row <= from.size(); ++row)
    std::memcpy(to.data() + row * to_row, from.data() + row * from_row, from_row);
}

}  // namespace

StoredFactors stack_pairs(const std::vector<UnmergedPair*>& pairs, SharedScratch& scratch) {
  StoredFactors stacked = pairs.front()->factors;
  stacked.rank = 0;
  size_t a_bytes = 0, b_bytes = 0;
  for (UnmergedPair* pair : pairs) {
    pair->first_rank = stacked.rank;
    // Its B is no piece of the stacked one, so nothing follows from that.
    if (stacked.layout == FactorLayout::kConv) pair->b_residual = {};
    stacked.rank += pair->factors.rank;
    a_bytes += pair->factors.a.size();
    b_bytes += pair->factors.b.size();
  }
  const std::span<std::byte> a = scratch.allocate(a_bytes), b = scratch.allocate(b_bytes);
  const bool conv = stacked.layout == FactorLayout::kConv;
  const size_t element = float_format(stacked.dtype)->size;
  for (const UnmergedPair* pair : pairs) {
    // A of a linear layer is [in, rank], B [rank, out]; those of a convolution the other way round.
    const StoredFactors& each = pair->factors;
    const auto in_rows = [&](std::span<const std::byte> from, std::span<std::byte> to) {
      const size_t row = from.size() / static_cast<size_t>(each.rank);
      copy_rows(from, row, to.subspan(static_cast<size_t>(*pair->first_rank) * row), row);
    };
    const auto in_cols = [&](std::span<const std::byte> from, std::span<std::byte> to) {
      copy_rows(from, static_cast<size_t>(each.rank) * element,
                to.subspan(static_cast<size_t>(*pair->first_rank) * element),
                static_cast<size_t>(stacked.rank) * element);
    };
    conv ? in_rows(each.a, a) : in_cols(each.a, a);
    conv ? in_cols(each.b, b) : in_rows(each.b, b);
  }
  stacked.a = a;
  stacked.b = b;
  return stacked;
}

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
