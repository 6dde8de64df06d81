#include "bundle/model_figures.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "bundle/same_models.h"
#include "bundle/saved.h"

namespace wshare {
namespace {

bool is_shared(const Draft& draft, const Extent& extent, const std::vector<uint32_t>& users) {
  if (draft.start && draft.start->like) return users.size() > 1;
  const size_t before = draft.start ? draft.start->manifest.blobs.size() : 0;
  return extent.blob < before || draft.plan.blobs[extent.blob - before].shared;
}

// Fills in what each of `models`, the new ones of `draft`, saves.
void add_saved_bytes(const Draft& draft, std::vector<DedupedModel>& models) {
  const size_t first = draft.first_new();
  const size_t before = draft.start ? draft.start->manifest.blobs.size() : 0;
  std::map<std::pair<uint32_t, uint64_t>, PlaceParts> places;  // by blob and offset
  std::vector<uint64_t> saved(models.size());
  for (uint32_t m = 0; m < models.size(); ++m) {
    for (const std::optional<Extent>& extent : draft.plan.extents[first + m]) {
      if (!extent) continue;
      saved[m] += extent->size;  // all of it, but for what is its own below
      if (extent->blob < before) continue;
      PlaceParts& parts = places[{extent->blob, extent->offset}];
      if (parts.empty() || parts.back().first != m) parts.emplace_back(m, 0);
      parts.back().second = std::max(parts.back().second, extent->size);
    }
  }
  for (auto& [place, parts] : places) {
    for (const auto& [model, bytes] : parts) saved[model] -= bytes;
    add_saved(std::move(parts), saved);
  }
  for (size_t m = 0; m < models.size(); ++m) models[m].saved_bytes = saved[m];
}

}  // namespace

ModelFigures model_figures(const Draft& draft, const BundleFiles& files) {
  ModelFigures figures;
  const size_t first = draft.first_new();
  const InputBytes bytes_in = input_bytes(std::span(draft.models).subspan(first));
  figures.bytes_in = bytes_in.total;
  const size_t before = draft.start ? draft.start->manifest.models.size() : 0;
  const std::vector<ModelRecord>& records = files.manifest.models;
  const std::vector<std::optional<size_t>> same = find_same_models(records);
  size_t stay = 0;
  for (size_t m = first; m < draft.planned.size(); ++m) {
    for (const PlanTensor& planned : draft.planned[m].tensors) stay += planned.reason ? 1 : 0;
  }
  figures.left_inline.reserve(stay);
  const std::vector<std::vector<uint32_t>> users = users_of(draft);
  std::set<uint32_t> of_all;
  for (auto m = static_cast<uint32_t>(first); m < draft.models.size(); ++m) {
    DedupedModel& entry = figures.models.emplace_back();
    entry.name = draft.inputs[m].name;
    entry.source = draft.inputs[m].path.filename().string();
    const size_t record = before + m - first;
    if (same[record]) entry.same_as = records[*same[record]].name;
    entry.bytes_in = bytes_in.of_model[m - first];
    entry.model_bytes = records[record].size;
    if (const auto edit = draft.edits.find(m); edit != draft.edits.end())
      entry.renames = edit->second.renames;
    std::set<uint32_t> distinct;
    for (size_t t = 0; t < draft.models[m].tensors.size(); ++t) {
      const TensorRef& tensor = draft.models[m].tensors[t];
      const PlanTensor& planned = draft.planned[m].tensors[t];
      if (planned.reason) {
        figures.left_inline.push_back(
            {entry.name, tensor.scope, tensor.name, tensor.bytes.size(), *planned.reason});
        continue;
      }
      ++entry.tensors;
      if (!distinct.insert(planned.content).second) continue;
      const bool shared = is_shared(draft, *draft.plan.extents[m][t], users[planned.content]);
      (shared ? entry.shared_bytes : entry.own_bytes) += planned.size;
    }
    entry.distinct = distinct.size();
    figures.tensors += entry.tensors;
    of_all.merge(distinct);
  }
  figures.distinct_tensors = of_all.size();
  add_saved_bytes(draft, figures.models);
  return figures;
}

}  // namespace wshare
