#include "compare/bases/costs.h"

#include <map>
#include <set>

#include "format/codec/residual.h"
#include "format/codec/residual_estimate.h"
#include "format/matrix.h"

namespace wshare {

double no_base_share(int32_t dtype) {
  return dtype == kBfloat16 ? 0.66 : dtype == kFloat16 ? 0.85 : 0.83;
}

OriginalTensor derived_from(const TensorRecord& tensor, const TensorRecord& base, bool transposed) {
  OriginalTensor derived{tensor.scope, tensor.name,  tensor.dtype,  tensor.shape, tensor.hash,
                         std::nullopt, std::nullopt, tensor.turned, tensor.folded};
  derived.derivation.emplace();
  derived.derivation->base = MatrixRecord{base.extent, base.dtype, transposed};
  derived.derivation->codec = kLaneCodec;
  return derived;
}

Costs::Costs(const std::vector<Member>& members, const BytesOf& bytes_of)
    : members_(members), bytes_of_(bytes_of) {
  std::map<ExtentKey, double> users;
  std::set<ExtentKey> kept;
  for (const Member& member : members_) {
    std::set<ExtentKey> seen;
    for (const TensorRecord& tensor : member.tensors) {
      const ExtentKey key = key_of(tensor.extent);
      if (!member.is_target) kept.insert(key);
      if (seen.insert(key).second) users[key] += 1;
    }
  }
  for (const ExtentKey& key : kept) users[key] = 0;
  for (size_t m = 0; m < members_.size(); ++m) {
    std::vector<double>& weights = weights_.emplace_back();
    std::set<ExtentKey> seen;
    for (const TensorRecord& tensor : members_[m].tensors) {
      const double among = users[key_of(tensor.extent)];
      const bool counts = among > 0 && seen.insert(key_of(tensor.extent)).second;
      weights.push_back(counts ? static_cast<double>(tensor.extent.size) / among : 0);
    }
  }
}

double Costs::share_of(size_t t, size_t i, size_t c, const Partner& pair) const {
  const TensorRecord& tensor = members_[t].tensors[i];
  const OriginalTensor derived =
      derived_from(tensor, members_[c].tensors[pair.base], pair.transposed);
  const uint64_t bytes =
      estimate_residual(prediction_of(derived, bytes_of_), bytes_of_(tensor.extent), kFewElements);
  const double share = static_cast<double>(bytes) / static_cast<double>(tensor.extent.size);
  return share > no_base_share(tensor.dtype) ? 1 : share;
}

double Costs::left(size_t t, size_t c, const BaseTensors& base) const {
  const std::vector<std::optional<Partner>> pairs = base.pair(members_[t]);
  double left = 0;
  for (size_t i = 0; i < pairs.size(); ++i) {
    if (weights_[t][i] == 0) continue;
    // What a target that is a base has, too, is stored: each of both counts its part.
    const bool is_shared = base.has(members_[t].tensors[i].extent);
    left += weights_[t][i] * (pairs[i] && !is_shared ? share_of(t, i, c, *pairs[i]) : 1);
  }
  return left;
}

double Costs::left_in_chain(size_t t, size_t c, const BaseTensors& before, size_t base,
                            const BaseTensors& root) const {
  const std::vector<std::optional<Partner>> from_root = root.pair(members_[t]);
  const std::vector<std::optional<Partner>> pairs = before.pair(members_[t]);
  double left = 0;
  for (size_t i = 0; i < pairs.size(); ++i) {
    if (weights_[t][i] == 0) continue;
    const Extent& extent = members_[t].tensors[i].extent;
    double share = 1;
    if (!root.has(extent) && pairs[i]) share = share_of(t, i, c, *pairs[i]);
    if (!root.has(extent) && !pairs[i] && from_root[i]) share = share_of(t, i, base, *from_root[i]);
    left += weights_[t][i] * share;
  }
  return left;
}

}  // namespace wshare
