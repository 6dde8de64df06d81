// What is odd about quantised weights, and about models that hold them.

#include <algorithm>
#include <set>

#include "compare/relations.h"
#include "format/dtype.h"
#include "inspect/findings.h"
#include "util/parallel.h"

namespace wshare {
namespace {

// Tensors of a model that may be another form of its floats: integers, and floats of a second type.
bool may_have_forms(const ScannedModel& model, uint64_t min_bytes) {
  std::set<int32_t> types;
  for (const TensorRef& tensor : model.tensors) {
    const std::optional<Dtype> dtype = find_dtype(tensor.dtype);
    if (dtype && dtype->bits <= 32 && tensor.dtype != 9 && tensor.bytes.size() >= min_bytes)
      types.insert(tensor.dtype);
  }
  return types.size() > 1 ||
         std::any_of(types.begin(), types.end(), [](int32_t type) { return !float_format(type); });
}

struct Found {
  std::vector<FindingPlace> expanded, left_beside;
};

Found look_at(const Draft& draft, size_t m, uint64_t min_bytes) {
  const ScannedModel& model = draft.models[m];
  Found found;
  if (!may_have_forms(model, min_bytes)) return found;
  const auto use_of = [&](int32_t tensor) -> TensorUse {
    const TensorRef& ref = model.tensors[static_cast<size_t>(tensor)];
    return {draft.inputs[m].name, ref.scope, ref.name};
  };
  const ComputeGraph graph = build_graph(model);
  for (const QuantisedWeight& weight : quantised_weights(graph, model)) {
    const TensorRef& tensor = model.tensors[static_cast<size_t>(weight.tensor)];
    if (!weight.cast || tensor.bytes.size() < min_bytes) continue;
    const uint64_t floats = *element_count(tensor.shape) * sizeof(float);
    found.expanded.push_back({use_of(weight.tensor), "", floats, "in each session"});
  }
  RelationOptions options;
  options.min_bytes = min_bytes;
  options.threads = 1;  // models are looked at side by side
  std::set<int32_t> known;
  for (const WeightRelation& relation : find_relations(WeightIndex(model), model, graph, options)) {
    const TensorRef& base = model.tensors[static_cast<size_t>(relation.a)];
    const TensorRef& form = model.tensors[static_cast<size_t>(relation.b)];
    const bool smaller = form.bytes.size() < base.bytes.size();
    if (relation.kind == WeightRelation::Kind::kTransposed || !smaller) continue;
    if (!known.insert(relation.a).second) continue;
    found.left_beside.push_back({use_of(relation.a), "", base.bytes.size(),
                                 "as " + dtype_name(form.dtype) + ": " + form.name});
  }
  return found;
}

}  // namespace

void find_in_quantised(const Draft& draft, uint64_t min_bytes, unsigned threads,
                       Findings& findings) {
  std::vector<Found> found(draft.models.size());
  parallel_for(found.size(), threads, [&](size_t m) { found[m] = look_at(draft, m, min_bytes); });
  for (Found& of_model : found) {
    for (FindingPlace& place : of_model.expanded) findings.add("WS018", std::move(place));
    for (FindingPlace& place : of_model.left_beside) findings.add("WS017", std::move(place));
  }
}

}  // namespace wshare
