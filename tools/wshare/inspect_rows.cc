#include "inspect_rows.h"

#include "format/scope.h"

namespace wshare {

std::string name_of(const TensorUse& use) { return full_name(use.scope, use.tensor); }

}  // namespace wshare
