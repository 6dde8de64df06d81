#pragma once

#include <string>
#include <vector>

#include "bundle/draft.h"

namespace wshare {

// Returns the files that nodes of the models of `draft` name, each once: to be carried along under
// their names, beside the models.
//
// Throws Error(kInvalid) if two are different and have one name, also with a file of the bundle
// that draft.start is; Error(kUnsupported) if a name cannot be a file directly in a bundle.
std::vector<SideFile> find_side_files(const Draft& draft);

// Returns the names that nodes of the models of `draft` say, and no file of the bundle may take.
std::vector<std::string> names_that_nodes_say(const Draft& draft);

// Returns the number in draft.side_files of the file called `name`, which is there.
size_t side_file_called(const Draft& draft, const std::string& name);

}  // namespace wshare
