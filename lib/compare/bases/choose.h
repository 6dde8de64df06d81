#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "compare/bases/costs.h"
#include "compare/bases/members.h"
#include "compare/bases/quantised_from.h"
#include "wshare/progress.h"

namespace wshare {

// What most of a member's bytes are, as made of its base's.
enum class RelationKind { kCast, kMoved, kQuantised };

// What becomes of a member.
struct Role {
  std::optional<size_t> base;  // the member that it is computed from
  size_t steps = 0;            // from one that is computed from nothing; over 1 in chains
  double alone = 0;            // bytes that nobody but targets has
  double own = 0;       // with a base: those of `alone` that no member which is stored as it is has
  double archived = 0;  // what is left of them, an estimate; with a base, of `own`
  // Where it is a model in another form: tensors that are quantised from the base's.
  std::map<size_t, WeightSource> sources;
  // With a base: tensors that are computed from it, of those that only targets have.
  size_t weights = 0, weights_total = 0;
  RelationKind kind = RelationKind::kMoved;
};

struct ChooseOptions {
  std::string base;    // the one base; empty: the cheapest of each
  bool chain = false;  // whether models may be computed from what is computed itself
  ScanMember scan;     // none: quantised tensors are not looked for
  unsigned threads = 1;
  ProgressFn progress;
};

// Returns, for each of `members`, the base that makes the archive smallest. A base is no target, or
// one that is computed from nothing itself; in chains also one of the same base, of floats.
//
// Samples of the weights are read, up to 32 candidates for each member; of models of integers all
// weights, up to 8 candidates. Throws Error(kInvalid) if
// there is no member of that name.
std::vector<Role> choose_bases(const std::vector<Member>& members, const BytesOf& bytes_of,
                               const ChooseOptions& options);

}  // namespace wshare
