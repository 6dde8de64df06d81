#include "import_adapter/match_modules.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <set>

#include "compare/low_rank/matrix.h"
#include "format/matrix.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

bool equal_shapes(const std::vector<int64_t>& wanted, const std::vector<int64_t>& given,
                  int64_t rank) {
  return std::equal(wanted.begin(), wanted.end(), given.begin(), given.end(),
                    [&](int64_t w, int64_t g) { return (w < 0 ? rank : w) == g; });
}

bool fits(const GivenModule& given, const BranchSite& weight) {
  const GivenModule module = laid_out_for(given, weight);
  if (module.turned && module.embedding != weight.is_table) return false;
  return equal_shapes(weight.a_shape, branch_shape(module, module.a), module.rank) &&
         equal_shapes(weight.b_shape, branch_shape(module, module.b), module.rank);
}

std::string text_of(const std::vector<int64_t>& shape) {
  std::string text;
  for (const int64_t dim : shape)
    text += (text.empty() ? "" : ",") + (dim < 0 ? std::string("r") : std::to_string(dim));
  return "[" + text + "]";
}

[[noreturn]] void refuse_shapes(const GivenModule& given, const BranchSite& weight) {
  const GivenModule module = laid_out_for(given, weight);
  throw Error(ErrorCode::kInvalid,
              "module " + in_quotes(module.path) + ": has factors " +
                  text_of(branch_shape(module, module.a)) + " and " +
                  text_of(branch_shape(module, module.b)) + ", weight " + in_quotes(weight.name) +
                  " needs " + text_of(weight.a_shape) + " and " + text_of(weight.b_shape) +
                  (module.turned && module.embedding != weight.is_table
                       ? std::string(weight.is_table ? ", of an embedding" : ", of a layer")
                       : ""),
              "is it an adapter of this base? --base names another one");
}

[[noreturn]] void refuse_several(const std::string& path, const std::vector<size_t>& candidates,
                                 const std::vector<BranchSite>& weights) {
  std::string names;
  for (const size_t i : candidates)
    names += (names.empty() ? "" : ", ") + in_quotes(weights[i].path);
  throw Error(ErrorCode::kInvalid,
              "module " + in_quotes(path) + ": may be any of " + std::to_string(candidates.size()) +
                  " weights: " + names,
              "give the module in the adapter the path of one of them");
}

void check_weight(const GivenModule& module, const BranchSite& weight) {
  const std::string& reason =
      !weight.several_modules.empty() ? weight.several_modules : weight.no_inputs;
  const bool is_possible =
      weight.several_modules.empty() && (weight.branch || weight.no_inputs.empty());
  if (is_possible) return;
  throw Error(ErrorCode::kUnsupported, "module " + in_quotes(module.path) + ": its weight " +
                                           in_quotes(weight.name) + " " + reason);
}

// True if `tensor` is the weight `of_base`, seen as stored or transposed.
bool is_weight(const NamedTensor& tensor, const TensorRef& of_base, bool transposed) {
  const std::optional<MatrixView> base = matrix_of(of_base);
  if (!base || tensor.shape.size() != of_base.shape.size()) return false;
  std::vector<int64_t> shape = tensor.shape;
  if (transposed) {
    if (shape.size() != 2) return false;
    std::swap(shape[0], shape[1]);
  }
  if (shape != of_base.shape) return false;
  if (!transposed && tensor.dtype == of_base.dtype)
    return std::equal(tensor.bytes.begin(), tensor.bytes.end(), of_base.bytes.begin(),
                      of_base.bytes.end());
  const MatrixView given{tensor.bytes, tensor.dtype, base->rows, base->cols, transposed};
  const size_t row_bytes = static_cast<size_t>(base->cols) * float_format(base->dtype)->size;
  std::vector<double> row(static_cast<size_t>(base->cols));
  std::vector<std::byte> rounded(row_bytes);
  for (uint64_t i = 0; i < base->rows; ++i) {
    read_rows(given, i, 1, row.data());
    write_values(row, base->dtype, rounded.data());
    if (std::memcmp(rounded.data(), base->bytes.data() + static_cast<size_t>(i) * row_bytes,
                    row_bytes) != 0) {
      return false;
    }
  }
  return true;
}

// Which of `candidates` in `base` the module means.
size_t choose_weight(const GivenModule& module, const std::vector<size_t>& candidates,
                     const std::vector<BranchSite>& weights) {
  std::vector<size_t> fitting;
  for (const size_t i : candidates) {
    if (fits(module, weights[i])) fitting.push_back(i);
  }
  if (fitting.size() > 1) refuse_several(module.path, fitting, weights);
  const size_t weight = fitting.empty() ? candidates.front() : fitting.front();
  check_weight(module, weights[weight]);
  if (fitting.empty()) refuse_shapes(module, weights[weight]);
  return weight;
}

// A weight of just this module that can have no adapter in one base must not be passed over because
// another base has it, too.
void check_not_left(const GivenModule& module, const MatchedBase& base) {
  for (const LeftWeight& weight : base.sites->left) {
    for (const std::string& path : weight.paths) {
      const bool is_it = path == module.path || path.starts_with(module.path + ".");
      if (is_it) check_left(module.path, {weight});
    }
  }
}

}  // namespace

bool has_weight(const GivenModule& module, const MatchedBase& base) {
  const std::vector<size_t> candidates = find_candidates(module.path, {base})[0];
  return std::any_of(candidates.begin(), candidates.end(),
                     [&](size_t i) { return fits(module, base.sites->sites[i]); });
}

std::vector<std::vector<ModuleMatch>> match_modules(const std::vector<GivenModule>& modules,
                                                    const std::vector<MatchedBase>& bases) {
  check_work(modules.size(), bases);
  std::vector<std::vector<ModuleMatch>> result(bases.size());
  std::vector<std::string> unknown;
  std::vector<std::map<size_t, std::string>> module_of(bases.size());
  for (size_t m = 0; m < modules.size(); ++m) {
    const GivenModule& module = modules[m];
    const std::vector<std::vector<size_t>> candidates = find_candidates(module.path, bases);
    if (is_nowhere(candidates)) {
      unknown.push_back(module.path);
      continue;
    }
    for (size_t b = 0; b < bases.size(); ++b) {
      const std::vector<BranchSite>& weights = bases[b].sites->sites;
      if (candidates[b].empty()) {
        check_not_left(module, bases[b]);
        continue;
      }
      const size_t weight = choose_weight(module, candidates[b], weights);
      const auto [at, is_new] = module_of[b].emplace(weight, module.path);
      if (!is_new) {
        throw Error(ErrorCode::kInvalid, "modules " + in_quotes(at->second) + " and " +
                                             in_quotes(module.path) + " have one weight, " +
                                             in_quotes(weights[weight].name));
      }
      result[b].push_back({m, weight});
    }
  }
  if (!unknown.empty()) refuse_unknown(unknown, bases);
  for (std::vector<ModuleMatch>& matches : result) {
    std::sort(matches.begin(), matches.end(),
              [](const ModuleMatch& x, const ModuleMatch& y) { return x.weight < y.weight; });
  }
  return result;
}

void check_base_weights(const std::vector<NamedTensor>& tensors,
                        const std::vector<MatchedBase>& bases) {
  check_work(tensors.size(), bases);
  for (const NamedTensor& tensor : tensors) {
    const std::vector<std::vector<size_t>> candidates = find_candidates(tensor.name, bases);
    if (is_nowhere(candidates)) refuse_unknown({tensor.name}, bases);
    for (size_t b = 0; b < bases.size(); ++b) {
      const std::vector<BranchSite>& weights = bases[b].sites->sites;
      const auto is_it = [&](size_t i) {
        const TensorRef& of_base = bases[b].model->tensors[static_cast<size_t>(weights[i].tensor)];
        return is_weight(tensor, of_base, false) || is_weight(tensor, of_base, true);
      };
      const bool is_there =
          candidates[b].empty() ||
          (holds_floats(tensor) && std::any_of(candidates[b].begin(), candidates[b].end(), is_it));
      if (is_there) continue;
      throw Error(ErrorCode::kInvalid,
                  "module " + in_quotes(tensor.name) +
                      ": the adapter comes with a weight that differs from the base's " +
                      in_quotes(weights[candidates[b].front()].name),
                  "it was made for another base, or the weight was trained, too");
    }
  }
}

}  // namespace wshare
