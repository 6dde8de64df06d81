#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <vector>

namespace wshare {

// What a model of a family is computed from, and what that leaves of its bytes.
struct Link {
  std::optional<size_t> parent;  // none: the family's base
  double left = 0;
  size_t steps = 1;  // to the base
};

// Returns, for each model of a family, what it is best computed from: the family's base, which
// leaves from_base[t] of model t, or another model of it, which leaves left(c, t) of it (nothing:
// not looked at). No model takes more than `most_steps`; a longer way has to be worth it.
//
// The tree grows from the base as Prim's does, by the model of which least is left.
std::vector<Link> grow_chains(const std::vector<double>& from_base,
                              const std::function<std::optional<double>(size_t, size_t)>& left,
                              size_t most_steps);

}  // namespace wshare
