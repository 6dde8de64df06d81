#include "util/distinct_names.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <string_view>

namespace wshare {
namespace {

using Names = std::vector<std::string>;

bool is_commit(std::string_view part) {
  return part.size() == 40 && part.find_first_not_of("0123456789abcdef") == part.npos;
}

// "name" of "models--org--name", else the part itself.
std::string repository_name(const std::string& part) {
  if (!part.starts_with("models--")) return part;
  return part.substr(part.rfind("--") + 2);
}

bool all_differ(const Names& names) {
  return std::set<std::string_view>(names.begin(), names.end()).size() == names.size();
}

// The parts of paths, those at the end first.
class Parts {
 public:
  explicit Parts(const std::vector<std::filesystem::path>& folders) {
    for (const std::filesystem::path& folder : folders) {
      Names parts;
      for (const std::filesystem::path& part : folder.relative_path()) parts.push_back(part);
      std::reverse(parts.begin(), parts.end());
      depth_ = std::max(depth_, parts.size());
      parts_.push_back(std::move(parts));
    }
  }

  size_t depth() const { return depth_; }

  // Of each path; "" where it is shorter.
  Names at(size_t level) const {
    Names result;
    for (const Names& parts : parts_) result.push_back(level < parts.size() ? parts[level] : "");
    return result;
  }

 private:
  std::vector<Names> parts_;
  size_t depth_ = 0;
};

// Appends what differs in front of `names`, which are made from the end on.
void put_before(Names& names, const Names& parts) {
  for (size_t i = 0; i < names.size(); ++i) {
    if (!parts[i].empty()) names[i] = parts[i] + (names[i].empty() ? "" : "-") + names[i];
  }
}

}  // namespace

Names distinct_names(const std::vector<std::filesystem::path>& folders) {
  const Parts parts(folders);
  for (const bool with_commits : {false, true}) {
    Names joined(folders.size());
    for (size_t level = 0; level < parts.depth(); ++level) {
      const Names here = parts.at(level);
      const bool has_commit = std::any_of(here.begin(), here.end(), is_commit);
      if (has_commit && !with_commits) continue;
      Names called;
      std::transform(here.begin(), here.end(), std::back_inserter(called), repository_name);
      const bool has_all = std::find(here.begin(), here.end(), "") == here.end();
      if (has_all && all_differ(called)) return called;
      if (has_all && all_differ(here)) return here;
      if (std::any_of(here.begin(), here.end(), [&](const auto& part) { return part != here[0]; }))
        put_before(joined, all_differ(called) ? called : here);
    }
    if (all_differ(joined) && std::find(joined.begin(), joined.end(), "") == joined.end())
      return joined;
    if (!with_commits) continue;
    const Names last = parts.at(0);  // of equal folders, and those around others
    for (size_t i = 0; i < joined.size(); ++i) {
      if (joined[i].empty()) joined[i] = last[i];
    }
    return joined;
  }
  return {};
}

}  // namespace wshare
