#include "compare/bases/quantised_from.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>

#include "compare/relations.h"

namespace wshare {
namespace {

using Numbers = std::map<std::pair<std::string_view, std::string_view>, size_t>;

// Of the member's tensors, by scope and name.
Numbers numbers_of(const Member& member) {
  Numbers numbers;
  for (size_t t = 0; t < member.tensors.size(); ++t)
    numbers.try_emplace({member.tensors[t].scope, member.tensors[t].name}, t);
  return numbers;
}

std::optional<size_t> find(const Numbers& numbers, const ScannedModel& model, int32_t tensor) {
  const TensorRef& ref = model.tensors[static_cast<size_t>(tensor)];
  const auto found = numbers.find({ref.scope, ref.name});
  if (found == numbers.end()) return std::nullopt;
  return found->second;
}

StoredNumbers stored_numbers(const Numbers& numbers, const ScannedModel& model, int32_t tensor) {
  const TensorRef& ref = model.tensors[static_cast<size_t>(tensor)];
  StoredNumbers stored{find(numbers, model, tensor), ref.dtype, {}};
  if (!stored.tensor) stored.bytes.assign(ref.bytes.begin(), ref.bytes.end());
  return stored;
}

}  // namespace

std::map<size_t, WeightSource> find_sources(const Member& member, const Member& base,
                                            const ScanMember& scan, unsigned threads) {
  const ScannedModel a = scan(base), b = scan(member);
  const Numbers of_a = numbers_of(base), of_b = numbers_of(member);
  const BaseTensors held(base);
  std::map<size_t, WeightSource> sources;
  for (const WeightRelation& relation :
       find_relations(WeightIndex(a), b, build_graph(b), {.threads = threads})) {
    const std::optional<size_t> from = find(of_a, a, relation.a), to = find(of_b, b, relation.b);
    if (!from || !to || held.has(member.tensors[*to].extent)) continue;
    WeightSource source{
        {*from, relation.transposed}, relation.elements, relation.wrong, {}, {}, {}};
    if (relation.kind == WeightRelation::Kind::kQuantised) {
      source.how = relation.quantised.how;
      source.scale = stored_numbers(of_b, b, relation.quantised.scale);
      if (relation.quantised.zero != kAbsent)
        source.zero = stored_numbers(of_b, b, relation.quantised.zero);
    }
    sources.emplace(*to, std::move(source));
  }
  return sources;
}

double estimate_residual(const WeightSource& source) {
  if (source.wrong == 0) return 0;
  const auto wrong = static_cast<double>(source.wrong), all = static_cast<double>(source.elements);
  // Where they are, and one bit or two for what they are.
  const double share = std::min(wrong / all, 0.5);
  const double entropy = -share * std::log2(share) - (1 - share) * std::log2(1 - share);
  return (all * entropy + 1.5 * wrong) / 8;
}

}  // namespace wshare
