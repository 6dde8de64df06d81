#include "bundle/same_models.h"

#include <map>
#include <tuple>

namespace wshare {

std::vector<std::optional<size_t>> find_same_models(std::span<const ModelRecord> models) {
  // A content has one place in a bundle, so equal models refer to the same places.
  std::map<std::tuple<ContentHash, ContentHash, uint64_t>, size_t> first;
  std::vector<std::optional<size_t>> same(models.size());
  for (size_t m = 0; m < models.size(); ++m) {
    if (!models[m].source) continue;
    const SourceRecord& source = *models[m].source;
    const auto [at, is_new] =
        first.try_emplace({models[m].hash, source.graph_hash, source.size}, m);
    if (!is_new) same[m] = at->second;
  }
  return same;
}

}  // namespace wshare
