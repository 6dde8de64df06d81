#include "bundle/same_models.h"

#include <cstring>
#include <map>
#include <span>
#include <utility>

#include "util/content_hash.h"

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

// Equal for models that are the same: the size of the file, and the contents of its tensors.
using Key = std::pair<size_t, ContentHash>;

Key key_of(const Draft& draft, size_t m) {
  ContentHasher contents;
  for (const PlanTensor& planned : draft.planned[m].tensors) {
    const uint32_t content = planned.reason ? ~uint32_t{0} : planned.content;
    contents.update(std::as_bytes(std::span(&content, 1)));
  }
  return {draft.models[m].file.file().bytes().size(), contents.digest()};
}

// Different models of one key. Files are hashed only where there are many, so that nothing is read
// twice of a few large models, and few are compared of many small ones.
class Alike {
 public:
  explicit Alike(const Draft& draft) : draft_(draft) {}

  // Returns the first model that is the same as `m`, or adds `m`.
  std::optional<size_t> find_or_add(size_t m) {
    constexpr size_t kFew = 4;
    if (by_hash_.empty() && few_.size() < kFew) return find_or_add(few_, m);
    for (const size_t model : few_) by_hash_[hash_of(model)].push_back(model);
    few_.clear();
    return find_or_add(by_hash_[hash_of(m)], m);
  }

 private:
  ContentHash hash_of(size_t m) const { return content_hash(draft_.models[m].file.file().bytes()); }

  std::optional<size_t> find_or_add(std::vector<size_t>& models, size_t m) const {
    for (const size_t model : models) {
      if (are_same(draft_, model, m)) return model;
    }
    models.push_back(m);
    return std::nullopt;
  }

  const Draft& draft_;
  std::vector<size_t> few_;
  std::map<ContentHash, std::vector<size_t>> by_hash_;
};

}  // namespace

std::vector<std::optional<size_t>> find_same_models(const Draft& draft) {
  std::vector<std::optional<size_t>> same(draft.models.size());
  std::map<Key, Alike> alike;
  for (size_t m = 0; m < draft.models.size(); ++m) {
    if (draft.edits.count(m) != 0) continue;
    same[m] = alike.try_emplace(key_of(draft, m), draft).first->second.find_or_add(m);
  }
  return same;
}

}  // namespace wshare
