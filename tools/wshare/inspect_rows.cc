#include "inspect_rows.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "format/scope.h"

namespace wshare {

std::string name_of(const TensorUse& use) { return full_name(use.scope, use.tensor); }

std::string some_of(const std::vector<std::string>& names) {
  const size_t shown = names.size() > 4 ? 3 : names.size();
  std::string text = fmt::format(
      "{}", fmt::join(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(shown), ", "));
  return shown == names.size() ? text : text + fmt::format(" and {} more", names.size() - shown);
}

std::vector<size_t> clustered(const std::vector<std::vector<uint64_t>>& matrix,
                              const std::vector<size_t>& rows) {
  std::vector<size_t> order;
  std::vector<size_t> rest = rows;
  std::vector<uint64_t> shared(matrix.size(), 0);  // most that it shares with one in `order`
  while (!rest.empty()) {
    const auto next = std::max_element(rest.begin(), rest.end(),
                                       [&](size_t a, size_t b) { return shared[a] < shared[b]; });
    order.push_back(*next);
    rest.erase(next);
    for (const size_t row : rest) shared[row] = std::max(shared[row], matrix[row][order.back()]);
  }
  return order;
}

}  // namespace wshare
