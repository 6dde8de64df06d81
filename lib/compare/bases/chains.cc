#include "compare/bases/chains.h"

namespace wshare {

std::vector<Link> grow_chains(const std::vector<double>& from_base,
                              const std::function<std::optional<double>(size_t, size_t)>& left,
                              size_t most_steps) {
  constexpr double kWorthAStep = 0.97;  // samples err a little, and each step takes time
  std::vector<Link> links;
  for (const double bytes : from_base) links.push_back({std::nullopt, bytes});
  std::vector<bool> placed(links.size(), false);
  for (size_t n = 0; n < links.size(); ++n) {
    size_t next = links.size();
    for (size_t t = 0; t < links.size(); ++t) {
      if (!placed[t] && (next == links.size() || links[t].left < links[next].left)) next = t;
    }
    placed[next] = true;
    const size_t steps = links[next].steps + 1;
    if (steps > most_steps) continue;
    for (size_t t = 0; t < links.size(); ++t) {
      if (placed[t]) continue;
      const std::optional<double> bytes = left(next, t);
      if (bytes && *bytes < kWorthAStep * links[t].left) links[t] = {next, *bytes, steps};
    }
  }
  return links;
}

}  // namespace wshare
