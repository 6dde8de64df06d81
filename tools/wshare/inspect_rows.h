#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <string>
#include <vector>

#include "inspect_report.h"

namespace wshare {

// What the tables of `wshare inspect` are made of.
using Rows = std::vector<std::vector<std::string>>;

// Returns `text` in at most `width` columns, cut in the middle, since names differ at their ends.
std::string fit(const std::string& text, size_t width);

// Prints rows whose last column takes what the others leave of a line of 80 columns; the first
// `numbers` columns are flush right.
void print_rows(std::ostream& out, Rows rows, size_t numbers);

// Says how many of `count` rows are left out where only `shown` are.
void print_more(std::ostream& out, size_t count, uint64_t shown);

// Returns a tensor's name behind its scope, as people see it.
std::string name_of(const std::string& scope, const std::string& tensor);
std::string name_of(const TensorUse& use);

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
