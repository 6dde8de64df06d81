#include "bundle/saved.h"

#include <algorithm>

namespace wshare {

void add_saved(PlaceParts parts, std::vector<uint64_t>& saved) {
  std::sort(parts.begin(), parts.end(),
            [](const auto& a, const auto& b) { return a.second < b.second; });
  uint64_t before = 0, sum = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    const uint64_t readers = parts.size() - i, bytes = parts[i].second - before;
    sum += bytes - (bytes + readers - 1) / readers;
    before = parts[i].second;
    saved[parts[i].first] += sum;
  }
}

}  // namespace wshare
