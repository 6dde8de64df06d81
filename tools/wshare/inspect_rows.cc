#include "inspect_rows.h"

namespace wshare {

std::string name_of(const std::string& scope, const std::string& tensor) {
  return scope.empty() ? tensor : scope + "/" + tensor;
}

std::string name_of(const TensorUse& use) { return name_of(use.scope, use.tensor); }

}  // namespace wshare
