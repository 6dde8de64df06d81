#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace wshare {

// Returns for each of `folders`, absolute paths, a short name that tells it from the others: the
// part of the path nearest to the end that differs in all of them, else all parts that differ,
// joined by '-'. They depend on the set of folders only, not on their order. Equal folders have
// equal names.
//
// A commit ("snapshots/5f2c..." of a Hub's cache) is a name only where nothing else differs, and a
// repository there ("models--org--name") is called "name" where that tells it from the others.
std::vector<std::string> distinct_names(const std::vector<std::filesystem::path>& folders);

}  // namespace wshare
