#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "compare/bases/choose.h"
#include "compare/bases/members.h"
#include "format/derived_tensor.h"

namespace wshare {

// A member that is archived, and what it is computed from.
struct Target {
  size_t member = 0;
  std::optional<size_t> base;                   // in a chain a target that comes before
  size_t steps = 0;                             // as in Role
  std::map<size_t, WeightSource> sources = {};  // as in Role
};

// What becomes of a tensor of a target.
struct TensorPlan {
  enum class Kind {
    kShared,   // stays where it is, for others
    kInPlace,  // stays where it is, for this one
    kCopied,   // into the archive
    kDerived,
    kAsOther,  // as that tensor of a target before
  };
  Kind kind = Kind::kInPlace;
  size_t base = 0;                       // of kDerived: a member
  std::optional<Partner> pair;           // of kDerived, in that
  const WeightSource* source = nullptr;  // of kDerived, where its target has one
  double multiplier = 1;                 // of kDerived
  double estimate = 0;                   // of its residual in bytes
  size_t target = 0, tensor = 0;         // of kAsOther; of kDerived in a chain, the base's
  bool in_chain = false;                 // of kDerived: from what becomes of that tensor
  size_t steps = 0;                      // of kDerived, of its chain
};

// Returns what becomes of each tensor: [target][tensor]. Targets of chains come after those that
// they are computed from. `blob_stays` says which blobs of
// `manifest` stay for others than the targets.
//
// What two targets have is kept once. A tensor that nothing gives stays where it is if its blob
// stays, or if most of its blob does; else it moves into the archive, so that the blob can go.
std::vector<std::vector<TensorPlan>> plan_tensors(const std::vector<Member>& members,
                                                  const std::vector<Target>& targets,
                                                  const Manifest& manifest,
                                                  std::vector<bool> blob_stays,
                                                  const BytesOf& bytes_of, unsigned threads);

}  // namespace wshare
