#pragma once

#include <string>

#include "util/text.h"

namespace wshare {

// Returns `names`, each in quotes, with commas between them.
template <typename Names>
std::string list_in_quotes(const Names& names) {
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "" : ", ") + in_quotes(name);
  return list;
}

}  // namespace wshare
