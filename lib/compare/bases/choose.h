#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "compare/bases/members.h"
#include "compare/bases/quantised_from.h"
#include "format/derived_tensor.h"
#include "wshare/progress.h"

namespace wshare {

// What most of a member's bytes are, as made of its base's.
enum class RelationKind { kCast, kMoved, kQuantised };

// What becomes of a member.
struct Role {
  std::optional<size_t> base;  // the member that it is computed from
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
  std::string base;  // the one base; empty: the cheapest of each
  ScanMember scan;   // none: quantised tensors are not looked for
  unsigned threads = 1;
  ProgressFn progress;
};

// What is left of a tensor's bytes at most where that is worth a base: what the best coder without
// one leaves of weights of that type. Source: docs/archive.md, "What it costs".
double no_base_share(int32_t dtype);

// Returns an OriginalTensor that is `tensor` as predicted from `base`, without a residual.
OriginalTensor derived_from(const TensorRecord& tensor, const TensorRecord& base, bool transposed);

// Returns, for each of `members`, the base that makes the archive smallest. A base is no target, or
// one that is computed from nothing itself.
//
// Samples of the weights are read, up to 32 candidates for each member; of models of integers all
// weights, up to 8 candidates. Throws Error(kInvalid) if
// there is no member of that name.
std::vector<Role> choose_bases(const std::vector<Member>& members, const BytesOf& bytes_of,
                               const ChooseOptions& options);

}  // namespace wshare
