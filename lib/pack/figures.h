#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "format/manifest/manifest.h"
#include "pack/packed_tensors.h"
#include "wshare/pack.h"

namespace wshare {

// Counts what packs make one copy of: what plain sessions have for themselves.
class PackFigures {
 public:
  // `manifest` is the bundle's, whose tensors are one copy already.
  explicit PackFigures(const Manifest& manifest);

  // Fills in the figures of a model whose pack has `tensors`, each byte range once.
  void add(const std::vector<PackedTensor>& tensors, PackedModel& row);

  // Fills in those of all models of `report` that have a pack.
  void finish(PackReport& report);

 private:
  using Place = std::pair<uint32_t, uint64_t>;  // blob, offset
  struct Ranges {
    std::vector<BufferRecord> packed, folded;
  };

  std::set<Place> given_;
  std::map<std::string, Ranges> ranges_;  // by model
};

}  // namespace wshare
