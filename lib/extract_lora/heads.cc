#include "extract_lora/heads.h"

#include <algorithm>
#include <set>

#include "compare/low_rank/matrix.h"
#include "lora/full_pair.h"

namespace wshare {
namespace {

constexpr uint64_t kShareOfBase = 8;    // pairs take at most the 8th part of its weights
constexpr uint64_t kWidestHead = 1024;  // shorter side: each element is predicted of so many terms

const TensorRef& tensor_of(const ScannedModel& model, int32_t t) {
  return model.tensors[static_cast<size_t>(t)];
}

uint64_t bytes_of_pair(const MatrixView& weight, const BranchSite& site) {
  const uint64_t rank = full_rank(weight.rows, weight.cols);
  return (weight.rows * weight.cols + rank * rank) * float_format(site.dtype)->size;
}

bool may_be_head(const TensorMatch& match, const BranchSites& sites, const ScannedModel& base,
                 const ScannedModel& task) {
  if (match.tensor_class != TensorClass::kReplaced || match.a == kAbsent || !match.delta ||
      match.delta->kind == DeltaKind::kNotFinite) {
    return false;
  }
  const BranchSite* site = sites.find(match.a);
  if (site == nullptr || !site->no_inputs.empty()) return false;
  const TensorRef &of_base = tensor_of(base, match.a), &of_task = tensor_of(task, match.b);
  const std::optional<MatrixView> weight = matrix_of(of_base), changed = matrix_of(of_task);
  return weight && changed && of_base.dtype == of_task.dtype &&
         weight->rows == (match.transposed ? changed->cols : changed->rows) &&
         weight->cols == (match.transposed ? changed->rows : changed->cols) &&
         full_rank(weight->rows, weight->cols) <= kWidestHead;
}

}  // namespace

std::vector<size_t> find_heads(const ModelComparison& comparison, const BranchSites& sites,
                               const ScannedModel& base, const ScannedModel& task) {
  std::set<size_t> heads;
  for (const OperandPair& place : comparison.alignment.places) {
    const auto index = static_cast<size_t>(place.b);
    const TensorMatch& match = comparison.tensors[index];
    if (match.a == place.a && may_be_head(match, sites, base, task)) heads.insert(index);
  }
  uint64_t weights = 0, pairs = 0;
  for (const TensorRef& tensor : base.tensors) weights += tensor.bytes.size();
  for (const size_t index : heads) {
    const int32_t weight = comparison.tensors[index].a;
    pairs += bytes_of_pair(*matrix_of(tensor_of(base, weight)), *sites.find(weight));
  }
  if (pairs > weights / kShareOfBase) return {};
  return {heads.begin(), heads.end()};
}

StoredFactors store_head(const MatrixView& from, const MatrixView& to, const BranchSite& site,
                         SharedScratch& scratch) {
  StoredFactors stored{
      site.layout, site.dtype, from.rows, from.cols, full_rank(from.rows, from.cols), {}, {}};
  const uint64_t difference = from.rows * from.cols, identity = stored.rank * stored.rank;
  const bool a_differs = (from.rows > from.cols) == (site.layout == FactorLayout::kInOut);
  const auto allocate = [&](uint64_t elements) {
    return scratch.allocate(static_cast<size_t>(elements) * float_format(site.dtype)->size);
  };
  const std::span<std::byte> a = allocate(a_differs ? difference : identity);
  const std::span<std::byte> b = allocate(a_differs ? identity : difference);
  write_full_pair(from, to, site.layout, site.dtype, a, b);
  stored.a = a;
  stored.b = b;
  return stored;
}

}  // namespace wshare
