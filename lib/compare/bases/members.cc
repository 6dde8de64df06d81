#include "compare/bases/members.h"

#include <algorithm>
#include <functional>

#include "format/dtype.h"
#include "format/matrix.h"

namespace wshare {
namespace {

constexpr size_t kFamilyTensors = 4;

using Dims = std::vector<int64_t>;

bool is_float(const TensorRecord& tensor) { return float_format(tensor.dtype).has_value(); }

// A narrower type gives the first bits of a wider one, which is no model in another form.
bool may_give(const TensorRecord& base, const TensorRecord& tensor) {
  return is_float(base) && is_float(tensor) &&
         float_format(base.dtype)->size >= float_format(tensor.dtype)->size;
}

// The shape of the transpose; of a matrix only.
std::optional<Dims> turned(const Dims& shape) {
  if (shape.size() != 2 || shape[0] == shape[1]) return std::nullopt;
  return Dims{shape[1], shape[0]};
}

std::map<Dims, std::vector<size_t>> numbers_by_shape(const Member& member) {
  std::map<Dims, std::vector<size_t>> numbers;
  for (size_t t = 0; t < member.tensors.size(); ++t) {
    if (is_float(member.tensors[t])) numbers[member.tensors[t].shape].push_back(t);
  }
  return numbers;
}

}  // namespace

std::vector<Member> members_of(const Manifest& manifest, const std::set<std::string>& targets) {
  std::vector<Member> members;
  for (size_t m = 0; m < manifest.models.size(); ++m) {
    const ModelRecord& model = manifest.models[m];
    members.push_back({model.name, m, targets.contains(model.name), model.tensors});
  }
  for (const ArchivedRecord& model : manifest.archived) {
    Member& member = members.emplace_back(Member{model.name, std::nullopt, false, {}});
    for (const OriginalTensor& tensor : model.tensors) {
      if (!tensor.extent) continue;
      member.tensors.push_back({tensor.scope, tensor.name, tensor.shape, *tensor.extent,
                                tensor.hash, tensor.dtype, tensor.folded});
    }
  }
  return members;
}

BaseTensors::BaseTensors(const Member& base) : base_(base), by_shape_(numbers_by_shape(base)) {
  for (size_t t = 0; t < base.tensors.size(); ++t) {
    const TensorRecord& tensor = base.tensors[t];
    extents_.insert(key_of(tensor.extent));
    by_name_.try_emplace({tensor.scope, tensor.name}, t);
  }
}

std::optional<Partner> BaseTensors::pair_by_name(const TensorRecord& tensor) const {
  const auto found = by_name_.find({tensor.scope, tensor.name});
  if (found == by_name_.end() || !may_give(base_.tensors[found->second], tensor))
    return std::nullopt;
  const Shape& shape = base_.tensors[found->second].shape;
  if (shape == tensor.shape) return Partner{found->second, false};
  if (turned(shape) == Dims(tensor.shape)) return Partner{found->second, true};
  return std::nullopt;
}

std::vector<std::optional<Partner>> BaseTensors::pair(const Member& member) const {
  std::vector<std::optional<Partner>> pairs(member.tensors.size());
  const auto needs_one = [&](size_t t) { return !pairs[t] && !has(member.tensors[t].extent); };
  for (size_t t = 0; t < pairs.size(); ++t) {
    if (is_float(member.tensors[t]) && needs_one(t)) pairs[t] = pair_by_name(member.tensors[t]);
  }
  const auto pair_in_order = [&](const std::vector<size_t>& numbers, const Dims& shape,
                                 bool transposed) {
    const auto found = by_shape_.find(shape);
    if (found == by_shape_.end() || found->second.size() != numbers.size()) return;
    for (size_t i = 0; i < numbers.size(); ++i) {
      const size_t t = numbers[i];
      if (needs_one(t) && may_give(base_.tensors[found->second[i]], member.tensors[t]))
        pairs[t] = Partner{found->second[i], transposed};
    }
  };
  for (const auto& [shape, numbers] : numbers_by_shape(member)) {
    pair_in_order(numbers, shape, false);
    if (const std::optional<Dims> other = turned(shape)) pair_in_order(numbers, *other, true);
  }
  return pairs;
}

std::vector<uint64_t> family_of(const Member& member) {
  std::vector<uint64_t> sizes;
  for (const TensorRecord& tensor : member.tensors)
    sizes.push_back(element_count(tensor.shape).value_or(0));
  std::sort(sizes.begin(), sizes.end(), std::greater<>());
  sizes.resize(std::min(sizes.size(), kFamilyTensors));
  return sizes;
}

}  // namespace wshare
