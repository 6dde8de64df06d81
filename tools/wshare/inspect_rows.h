#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "inspect_report.h"
#include "rows.h"

namespace wshare {

// Returns a tensor's name behind its scope, as people see it.
std::string name_of(const TensorUse& use);

// Returns how many rows a list of models, tasks or files has: all of up to 50, whatever --top says.
inline uint64_t rows_of_models(const InspectView& view) { return std::max<uint64_t>(view.top, 50); }

// Returns "a, b", of more than four names "a, b, c and 7 more".
std::string some_of(const std::vector<std::string>& names);

// Returns `rows` of a matrix of bytes that models share: after the first always the one that shares
// most with one of those before it, so that families stand together.
std::vector<size_t> clustered(const std::vector<std::vector<uint64_t>>& matrix,
                              const std::vector<size_t>& rows);

// Returns pointers to `items`, the largest first or by name.
template <typename Item, typename Name>
std::vector<const Item*> in_order(const std::vector<Item>& items, RowOrder order, Name name) {
  std::vector<const Item*> sorted;
  for (const Item& item : items) sorted.push_back(&item);
  std::stable_sort(sorted.begin(), sorted.end(), [&](const Item* a, const Item* b) {
    return order == RowOrder::kName ? name(*a) < name(*b) : a->bytes > b->bytes;
  });
  return sorted;
}

}  // namespace wshare
