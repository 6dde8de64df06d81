#include "inspect_rows.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "format/scope.h"

namespace wshare {

std::string name_of(const TensorUse& use) { return full_name(use.scope, use.tensor); }

std::string some_of(const std::vector<std::string>& names) {
  const size_t shown = names.size() > 4 ? 3 : names.size();
  std::string text = fmt::format("{}", fmt::join(names.begin(), names.begin() + shown, ", "));
  return shown == names.size() ? text : text + fmt::format(" and {} more", names.size() - shown);
}

}  // namespace wshare
