#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "format/manifest/extents.h"
#include "format/manifest/manifest.h"

namespace wshare {

// A model of the bundle, live or archived, with its tensors that lie in blobs.
struct Member {
  std::string name;
  std::optional<size_t> model;  // in Manifest::models; none: it is archived already
  bool is_target = false;       // may be archived
  std::vector<TensorRecord> tensors;
};

// Returns the models of `manifest`, in order, then what archived ones have stored. Those called
// `targets` may be archived.
std::vector<Member> members_of(const Manifest& manifest, const std::set<std::string>& targets);

// A tensor that another one may be computed from.
struct Partner {
  size_t base = 0;  // its number
  bool transposed = false;
};

// Finds, in one member, what tensors of others may be computed from.
class BaseTensors {
 public:
  explicit BaseTensors(const Member& base);

  // True if the member has these very bytes.
  bool has(const Extent& extent) const { return extents_.contains(key_of(extent)); }

  // Returns a partner for each float tensor of `member` whose bytes the base has not, as far as
  // there is one: of its name and shape or of that shape transposed, else the one at the same place
  // among all tensors of such a shape, where both models have as many.
  std::vector<std::optional<Partner>> pair(const Member& member) const;

 private:
  std::optional<Partner> pair_by_name(const TensorRecord& tensor) const;

  const Member& base_;
  std::set<ExtentKey> extents_;
  std::map<std::pair<std::string_view, std::string_view>, size_t> by_name_;  // scope and name
  std::map<std::vector<int64_t>, std::vector<size_t>> by_shape_;
};

// Returns what members of one family have in common, whatever their types and heads: the numbers of
// elements of their largest tensors.
std::vector<uint64_t> family_of(const Member& member);

}  // namespace wshare
