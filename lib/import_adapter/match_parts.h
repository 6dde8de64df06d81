#pragma once

#include <string>
#include <vector>

#include "import_adapter/match_modules.h"

namespace wshare {

// Removes the modules whose part is none of `parts`, if there are any. Throws Error(kInvalid) if no
// module is of one of them.
void keep_parts(std::vector<GivenModule>& modules, const std::vector<std::string>& parts);

// As match_modules(), for modules of a pipeline of several models. Those of one part go to the one
// base that has a weight for each of them; where several have, to that called like the part. Flat
// paths get their dots: those of the weight which, without them, is called the same, and of no
// other.
//
// Throws what match_modules() throws, and Error(kInvalid) if no base has anything for a part,
// several have all, or a flat path may be two.
std::vector<std::vector<ModuleMatch>> match_parts(std::vector<GivenModule>& modules,
                                                  const std::vector<MatchedBase>& bases);

}  // namespace wshare
