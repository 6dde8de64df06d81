#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "lora/branch_sites.h"
#include "model/scan.h"

namespace wshare {

// A base, and what there is for adapters in it.
struct MatchedBase {
  std::string name;
  const ScannedModel* model;
  const BranchSites* sites;
};

// How the path of a module and that of a weight may name one module.
enum class Kinship { kEqual, kWrappedExport, kWrappedModule, kNone };

Kinship kinship(const std::string& module, const std::string& weight);

// Throws Error(kUnsupported) if to look for `modules` among the weights of `bases` takes too long.
void check_work(size_t modules, const std::vector<MatchedBase>& bases);

// Returns the weights that `path` may name, of the closest kinship that any of `bases` has: for
// each base the indices of their sites.
std::vector<std::vector<size_t>> find_candidates(const std::string& path,
                                                 const std::vector<MatchedBase>& bases);

// True if no base has one.
bool is_nowhere(const std::vector<std::vector<size_t>>& candidates);

// Throws Error(kUnsupported) if one of `left`, which can have no branch, is the weight of `path`.
void check_left(const std::string& path, const std::vector<LeftWeight>& left);

// Throws Error(kUnsupported) as check_left() does, else Error(kInvalid): no base has a weight of
// the first of `paths`, nor of the others.
[[noreturn]] void refuse_unknown(const std::vector<std::string>& paths,
                                 const std::vector<MatchedBase>& bases);

}  // namespace wshare
