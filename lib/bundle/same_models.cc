#include "bundle/same_models.h"

#include <cstring>
#include <map>

namespace wshare {
namespace {

bool are_equal(Bytes a, Bytes b) {
  return a.size() == b.size() &&
         (a.data() == b.data() || a.empty() || std::memcmp(a.data(), b.data(), a.size()) == 0);
}

bool are_same(const ExternalFile& a, const ExternalFile& b) {
  const Bytes bytes_a = a.file.bytes(), bytes_b = b.file.bytes();
  if (a.location != b.location || bytes_a.size() != bytes_b.size()) return false;
  return !a.named_by_node || are_equal(bytes_a, bytes_b);  // else its tensors say so
}

// The cheap questions first: tensors that leave their models have been compared already.
bool are_same(const Draft& draft, size_t a, size_t b) {
  const ScannedModel& model_a = draft.models[a];
  const ScannedModel& model_b = draft.models[b];
  if (model_a.external.size() != model_b.external.size() ||
      model_a.tensors.size() != model_b.tensors.size()) {
    return false;
  }
  for (size_t e = 0; e < model_a.external.size(); ++e) {
    if (!are_same(model_a.external[e], model_b.external[e])) return false;
  }
  for (size_t t = 0; t < model_a.tensors.size(); ++t) {
    const PlanTensor& planned_a = draft.planned[a].tensors[t];
    const PlanTensor& planned_b = draft.planned[b].tensors[t];
    if (planned_a.reason != planned_b.reason) return false;
    if (!planned_a.reason && planned_a.content != planned_b.content) return false;
  }
  const MappedFile& file_a = model_a.file.file();
  const MappedFile& file_b = model_b.file.file();
  if (file_a.id() != file_b.id() && !are_equal(file_a.bytes(), file_b.bytes())) return false;
  for (size_t t = 0; t < model_a.tensors.size(); ++t) {
    const TensorRef& tensor = model_a.tensors[t];
    if (draft.planned[a].tensors[t].reason && tensor.external_file >= 0 &&
        !are_equal(tensor.bytes, model_b.tensors[t].bytes)) {
      return false;
    }
  }
  return true;
}

}  // namespace

std::vector<std::optional<size_t>> find_same_models(const Draft& draft) {
  std::vector<std::optional<size_t>> same(draft.models.size());
  std::map<size_t, std::vector<size_t>> firsts;  // size of the model file -> models
  for (size_t m = 0; m < draft.models.size(); ++m) {
    if (draft.edits.count(m) != 0) continue;
    std::vector<size_t>& candidates = firsts[draft.models[m].file.file().bytes().size()];
    for (const size_t candidate : candidates) {
      if (same[m] || !are_same(draft, candidate, m)) continue;
      same[m] = candidate;
    }
    if (!same[m]) candidates.push_back(m);
  }
  return same;
}

}  // namespace wshare
