#include "import_adapter/match_parts.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>

#include "util/name_list.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

std::string flattened(std::string path) {
  std::replace(path.begin(), path.end(), '.', '_');
  return path;
}

// The paths of weights, each with what it is without dots.
class FlatPaths {
 public:
  explicit FlatPaths(const std::vector<MatchedBase>& bases) {
    for (const MatchedBase& base : bases) {
      for (const BranchSite& weight : base.sites->sites) add(weight.path);
      for (const LeftWeight& weight : base.sites->left) {
        for (const std::string& path : weight.paths) add(path);
      }
    }
  }

  // Returns the path with dots that `flat` stands for, of the closest kinship; `flat` itself where
  // no weight is called so.
  std::string find(const std::string& flat) const {
    Kinship closest = Kinship::kNone;
    std::set<std::string> found;
    for (const auto& [without, path] : paths_) {
      const Kinship each = kinship_of(flat, without, path);
      if (each == Kinship::kNone || each > closest) continue;
      if (each < closest) found.clear();
      closest = each;
      // An export that wraps the model has more in front.
      found.insert(each == Kinship::kWrappedExport ? path.substr(path.size() - flat.size()) : path);
    }
    if (found.empty()) return flat;
    if (found.size() == 1) return *found.begin();
    throw Error(ErrorCode::kInvalid,
                "module " + in_quotes(flat) + ": may be any of " + list_in_quotes(found),
                "PEFT's names of modules have the dots that tell them apart");
  }

 private:
  void add(const std::string& path) { paths_.emplace(flattened(path), path); }

  static Kinship kinship_of(const std::string& flat, const std::string& without,
                            const std::string& path) {
    if (flat == without) return Kinship::kEqual;
    const auto longer_by_names = [](const std::string& longer, const std::string& shorter, char dot,
                                    const std::string& with_dots) {
      return longer.size() > shorter.size() && longer.ends_with(shorter) &&
             with_dots[longer.size() - shorter.size() - 1] == dot;
    };
    if (longer_by_names(without, flat, '.', path)) return Kinship::kWrappedExport;
    const bool two_names = path.find('.') != std::string::npos;
    return two_names && longer_by_names(flat, without, '_', flat) ? Kinship::kWrappedModule
                                                                  : Kinship::kNone;
  }

  std::set<std::pair<std::string, std::string>> paths_;
};

// The base that the modules of `part` are for: an index.
size_t choose_base(const std::string& part, const std::vector<GivenModule>& modules,
                   const std::vector<MatchedBase>& bases) {
  std::vector<size_t> counts, complete;
  for (size_t b = 0; b < bases.size(); ++b) {
    const auto count = std::count_if(modules.begin(), modules.end(), [&](const GivenModule& each) {
      return has_weight(each, bases[b]);
    });
    counts.push_back(static_cast<size_t>(count));
    if (counts[b] == modules.size()) complete.push_back(b);
  }
  if (complete.size() == 1) return complete[0];
  for (const size_t b : complete) {
    if (bases[b].name == part) return b;
  }
  if (!complete.empty()) {
    throw Error(ErrorCode::kInvalid,
                "its " + in_quotes(part) + " may be for " + in_quotes(bases[complete[0]].name) +
                    " or " + in_quotes(bases[complete[1]].name),
                "give one of them: --base NAME --part " + part);
  }
  // Matching it with the base that has most says what is missing.
  return static_cast<size_t>(std::max_element(counts.begin(), counts.end()) - counts.begin());
}

// Says beside what is wrong with a part that it can be left out.
std::vector<std::vector<ModuleMatch>> match_part(const std::string& part,
                                                 const std::vector<GivenModule>& modules,
                                                 const MatchedBase& base, bool is_only) {
  try {
    return match_modules(modules, {base});
  } catch (const Error& error) {
    const std::string hint =
        is_only ? error.hint()
                : "--base NAME adds the model that has it, --part NAME takes other parts only";
    throw Error(error.code(), "its " + in_quotes(part) + ": " + error.what(), hint);
  }
}

void check_once(const std::vector<ModuleMatch>& matches, const std::vector<GivenModule>& modules) {
  for (size_t i = 1; i < matches.size(); ++i) {
    if (matches[i].weight != matches[i - 1].weight) continue;
    const GivenModule &one = modules[matches[i - 1].module], &other = modules[matches[i].module];
    throw Error(ErrorCode::kInvalid, "its " + in_quotes(one.part) + " and " +
                                         in_quotes(other.part) + " have one weight for " +
                                         in_quotes(one.path));
  }
}

}  // namespace

void keep_parts(std::vector<GivenModule>& modules, const std::vector<std::string>& parts) {
  if (parts.empty()) return;
  std::set<std::string> there;
  for (const GivenModule& module : modules) {
    if (!module.part.empty()) there.insert(module.part);
  }
  for (const std::string& part : parts) {
    if (there.count(part) != 0) continue;
    throw Error(ErrorCode::kInvalid,
                "the adapter has no part " + in_quotes(part) +
                    (there.empty() ? ", nor any other" : ", only " + list_in_quotes(there)));
  }
  std::erase_if(modules, [&](const GivenModule& module) {
    return std::find(parts.begin(), parts.end(), module.part) == parts.end();
  });
}

std::vector<std::vector<ModuleMatch>> match_parts(std::vector<GivenModule>& modules,
                                                  const std::vector<MatchedBase>& bases) {
  check_work(modules.size(), bases);
  const FlatPaths paths(bases);
  std::map<std::string, std::vector<size_t>> parts;
  for (size_t m = 0; m < modules.size(); ++m) {
    if (modules[m].flat) modules[m].path = paths.find(modules[m].path);
    parts[modules[m].part].push_back(m);
  }
  std::vector<std::vector<ModuleMatch>> result(bases.size());
  for (const auto& [part, indices] : parts) {
    std::vector<GivenModule> of_part;
    for (const size_t m : indices) of_part.push_back(modules[m]);
    const bool any_base = part.empty();
    const size_t first = any_base ? 0 : choose_base(part, of_part, bases);
    const std::vector<std::vector<ModuleMatch>> matches =
        any_base ? match_modules(of_part, bases)
                 : match_part(part, of_part, bases[first], parts.size() == 1);
    for (size_t b = 0; b < matches.size(); ++b) {
      for (const ModuleMatch& match : matches[b])
        result[first + b].push_back({indices[match.module], match.weight});
    }
  }
  for (std::vector<ModuleMatch>& matches : result) {
    std::sort(matches.begin(), matches.end(),
              [](const ModuleMatch& x, const ModuleMatch& y) { return x.weight < y.weight; });
    check_once(matches, modules);
  }
  return result;
}

}  // namespace wshare
