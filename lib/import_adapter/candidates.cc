#include "import_adapter/candidates.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

#include "util/text.h"
#include "wshare/error.h"

// A path of PEFT and one of an export name the same module. Either may have more in front:
//
//   PEFT     encoder.layer.0.attention.self.query
//   export   bert.encoder.layer.0.attention.self.query
//
// Only what is in front may be missing, and as a whole: "encoder.block.0.q" and "decoder.block.0.q"
// have a long end in common and are two modules. Measured on adapters of T5 and MiniLM over exports
// of both exporters: each of 188 modules has exactly one weight like this, the right one.

namespace wshare {
namespace {

constexpr size_t kShown = 3;
constexpr size_t kMostPairs = 300'000'000;  // of a module and a weight: some seconds

bool ends_with_names(const std::string& path, const std::string& end) {
  return path.size() > end.size() && path.ends_with(end) &&
         path[path.size() - end.size() - 1] == '.';
}

// How many names `a` and `b` have in common at their ends, and at their starts.
std::pair<size_t, size_t> common_names(const std::string& a, const std::string& b) {
  const auto count = [](auto one, auto one_end, auto other, auto other_end) {
    size_t names = 0;
    for (; one != one_end && other != other_end && *one == *other; ++one, ++other)
      names += *one == '.' ? 1 : 0;
    const bool whole = (one == one_end || *one == '.') && (other == other_end || *other == '.');
    return names + (whole ? 1 : 0);
  };
  return {count(a.rbegin(), a.rend(), b.rbegin(), b.rend()),
          count(a.begin(), a.end(), b.begin(), b.end())};
}

std::string nearest_paths(const std::string& path, const std::vector<MatchedBase>& bases) {
  std::set<std::string> paths;  // decoders of one model have the same ones
  std::vector<std::tuple<std::pair<size_t, size_t>, std::string>> ranked;
  const bool flat = path.find('.') == std::string::npos;  // then every '_' may be one
  const auto split = [flat](std::string text) {
    if (flat) std::replace(text.begin(), text.end(), '_', '.');
    return text;
  };
  for (const MatchedBase& base : bases) {
    for (const BranchSite& weight : base.sites->sites) {
      if (paths.insert(weight.path).second)
        ranked.emplace_back(common_names(split(path), split(weight.path)), weight.path);
    }
  }
  std::stable_sort(ranked.begin(), ranked.end(),
                   [](const auto& x, const auto& y) { return std::get<0>(x) > std::get<0>(y); });
  std::string text;
  for (size_t i = 0; i < std::min(kShown, ranked.size()); ++i)
    text += (i == 0 ? "the nearest paths are " : ", ") + in_quotes(std::get<1>(ranked[i]));
  return text.empty() ? "the base has no weight that can have an adapter" : text;
}

}  // namespace

Kinship kinship(const std::string& module, const std::string& weight) {
  if (module == weight) return Kinship::kEqual;
  if (ends_with_names(weight, module)) return Kinship::kWrappedExport;
  const bool two_names = weight.find('.') != std::string::npos;
  return two_names && ends_with_names(module, weight) ? Kinship::kWrappedModule : Kinship::kNone;
}

void check_work(size_t modules, const std::vector<MatchedBase>& bases) {
  size_t weights = 0;
  for (const MatchedBase& base : bases) weights += base.sites->sites.size();
  if (modules <= kMostPairs / std::max<size_t>(1, weights)) return;
  throw Error(ErrorCode::kUnsupported, "has " + std::to_string(modules) +
                                           " modules, too many to look for among " +
                                           std::to_string(weights) + " weights");
}

std::vector<std::vector<size_t>> find_candidates(const std::string& path,
                                                 const std::vector<MatchedBase>& bases) {
  std::vector<std::vector<size_t>> found(bases.size());
  Kinship closest = Kinship::kNone;
  for (size_t b = 0; b < bases.size(); ++b) {
    const std::vector<BranchSite>& weights = bases[b].sites->sites;
    for (size_t i = 0; i < weights.size(); ++i) {
      const Kinship of_weight = kinship(path, weights[i].path);
      if (of_weight == Kinship::kNone || of_weight > closest) continue;
      if (of_weight < closest) {
        for (std::vector<size_t>& indices : found) indices.clear();
        closest = of_weight;
      }
      found[b].push_back(i);
    }
  }
  return found;
}

bool is_nowhere(const std::vector<std::vector<size_t>>& candidates) {
  return std::all_of(candidates.begin(), candidates.end(),
                     [](const std::vector<size_t>& indices) { return indices.empty(); });
}

void check_left(const std::string& path, const std::vector<LeftWeight>& left) {
  for (const LeftWeight& weight : left) {
    for (const std::string& of_weight : weight.paths) {
      // A quantizer adds to names: "q.weight_quantized", "q.MatMul_Q4".
      const bool same = kinship(path, of_weight) != Kinship::kNone ||
                        ("." + of_weight).find("." + path + ".") != std::string::npos;
      if (!same) continue;
      throw Error(ErrorCode::kUnsupported, "module " + in_quotes(path) + ": its weight " +
                                               in_quotes(weight.name) + " " + weight.reason);
    }
  }
}

void refuse_unknown(const std::vector<std::string>& paths, const std::vector<MatchedBase>& bases) {
  for (const MatchedBase& base : bases) check_left(paths.front(), base.sites->left);
  std::string message =
      "module " + in_quotes(paths.front()) + ": " +
      (bases.size() == 1 ? "the base has no weight" : "none of the bases has a weight") +
      " of this path";
  if (paths.size() > 1) message += " (nor of " + std::to_string(paths.size() - 1) + " others)";
  throw Error(ErrorCode::kInvalid, message, nearest_paths(paths.front(), bases));
}

}  // namespace wshare
