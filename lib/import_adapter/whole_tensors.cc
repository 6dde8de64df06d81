#include "import_adapter/whole_tensors.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "compare/low_rank/matrix.h"
#include "format/dtype.h"
#include "lora/full_pair.h"
#include "lora/peft_config.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

constexpr std::string_view kWeight = ".weight";

std::string text_of(const std::vector<int64_t>& shape) {
  std::string text;
  for (const int64_t dim : shape) text += (text.empty() ? "" : ",") + std::to_string(dim);
  return "[" + text + "]";
}

[[noreturn]] void refuse_shape(const NamedTensor& given, const TensorRef& of_base) {
  throw Error(ErrorCode::kInvalid,
              in_quotes(given.name) + ": the adapter has it whole as " + text_of(given.shape) +
                  ", the base's " + in_quotes(of_base.name) + " has " + text_of(of_base.shape) +
                  ": a vocabulary that has grown, or a head of other labels",
              kMergeHint);
}

// A tensor as a matrix of `dtype`; of one dimension as one row.
MatrixView view_of(std::span<const std::byte> bytes, int32_t dtype,
                   const std::vector<int64_t>& shape, bool turned) {
  uint64_t size = 1;
  for (const int64_t dim : shape) size *= static_cast<uint64_t>(dim);
  const uint64_t rows = shape.size() < 2 ? 1 : static_cast<uint64_t>(shape[0]);
  const MatrixView view{bytes, dtype, rows, rows == 0 ? 0 : size / rows, false};
  return turned ? transpose_of(view) : view;
}

// Calls use(row, values) for each row of `view`, rounded to `dtype`.
template <typename Use>
void for_each_row(const MatrixView& view, int32_t dtype, const Use& use) {
  std::vector<double> values(static_cast<size_t>(view.cols));
  std::vector<std::byte> rounded(values.size() * float_format(dtype)->size);
  for (uint64_t row = 0; row < view.rows; ++row) {
    read_rows(view, row, 1, values.data());
    write_values(values, dtype, rounded.data());
    use(static_cast<size_t>(row), std::span<const std::byte>(rounded));
  }
}

bool is_same(const MatrixView& given, const TensorRef& of_base) {
  bool same = true;
  for_each_row(given, of_base.dtype, [&](size_t row, std::span<const std::byte> rounded) {
    same = same && std::memcmp(rounded.data(), of_base.bytes.data() + row * rounded.size(),
                               rounded.size()) == 0;
  });
  return same;
}

void check_finite(const NamedTensor& tensor, const std::string& name) {
  constexpr size_t kPiece = 4096;  // elements
  const size_t size = float_format(tensor.dtype)->size;
  std::vector<double> values;
  bool finite = true;
  for (size_t at = 0; at < tensor.bytes.size() && finite; at += kPiece * size) {
    const size_t bytes = std::min(kPiece * size, tensor.bytes.size() - at);
    values.resize(bytes / size);
    read_values(tensor.bytes.subspan(at, bytes), tensor.dtype, values.data());
    finite = std::all_of(values.begin(), values.end(),
                         [](double value) { return std::isfinite(value); });
  }
  if (finite) return;
  throw Error(ErrorCode::kInvalid,
              in_quotes(name) + ": has a value that is no finite " + dtype_name(tensor.dtype));
}

class Matcher {
 public:
  Matcher(const std::vector<NamedTensor>& tensors, bool stored_in_out,
          const std::vector<MatchedBase>& bases)
      : tensors_(tensors), stored_in_out_(stored_in_out), bases_(bases), result_(bases.size()) {}

  std::vector<std::vector<WholeMatch>> run() {
    check_work(tensors_.size(), bases_);
    for (size_t i = 0; i < tensors_.size(); ++i) {
      const NamedTensor& given = tensors_[i];
      if (!holds_floats(given)) {
        throw Error(ErrorCode::kInvalid, in_quotes(given.name) + ": is of no float type");
      }
      const bool is_weight = given.name.ends_with(kWeight) && given.shape.size() >= 2;
      if (is_weight ? !match_weight(i) : !match_vector(i)) {
        refuse_unknown({given.name.substr(0, given.name.rfind('.'))}, bases_);
      }
    }
    for (std::vector<WholeMatch>& matches : result_) {
      std::sort(matches.begin(), matches.end(),
                [](const WholeMatch& x, const WholeMatch& y) { return x.tensor < y.tensor; });
      for (size_t i = 1; i < matches.size(); ++i) {
        if (matches[i].tensor != matches[i - 1].tensor) continue;
        throw Error(ErrorCode::kInvalid, in_quotes(tensors_[matches[i - 1].given].name) + " and " +
                                             in_quotes(tensors_[matches[i].given].name) +
                                             " are for one tensor of the base");
      }
    }
    return std::move(result_);
  }

 private:
  const TensorRef& tensor_of(size_t base, int32_t tensor) const {
    return bases_[base].model->tensors[static_cast<size_t>(tensor)];
  }

  bool match_weight(size_t given) {
    const std::string& name = tensors_[given].name;
    const std::string path = name.substr(0, name.size() - kWeight.size());
    const std::vector<std::vector<size_t>> candidates = find_candidates(path, bases_);
    for (size_t b = 0; b < bases_.size(); ++b) {
      if (candidates[b].empty()) continue;
      const std::vector<BranchSite>& sites = bases_[b].sites->sites;
      std::optional<WholeMatch> found;
      for (const size_t i : candidates[b]) {
        std::optional<WholeMatch> fitting = fit(given, tensor_of(b, sites[i].tensor), sites[i]);
        if (!fitting) continue;
        if (found) {
          throw Error(ErrorCode::kInvalid, in_quotes(name) + ": may be " +
                                               in_quotes(found->site->name) + " or " +
                                               in_quotes(sites[i].name) + " of the base");
        }
        found = fitting;
      }
      if (!found) refuse_shape(tensors_[given], tensor_of(b, sites[candidates[b].front()].tensor));
      if (!found->same) check_may_travel(name, *found->site);
      result_[b].push_back(*found);
    }
    return !is_nowhere(candidates);
  }

  std::optional<WholeMatch> fit(size_t given, const TensorRef& of_base,
                                const BranchSite& site) const {
    const NamedTensor& tensor = tensors_[given];
    if (!matrix_of(of_base)) {
      throw Error(ErrorCode::kUnsupported,
                  in_quotes(tensor.name) + ": the base's " + in_quotes(of_base.name) +
                      " is quantized: a whole weight cannot take its place",
                  kMergeHint);
    }
    std::vector<int64_t> turned_shape = tensor.shape;
    std::swap(turned_shape[0], turned_shape[1]);
    const bool fits = tensor.shape == of_base.shape;
    const bool fits_turned = tensor.shape.size() == 2 && turned_shape == of_base.shape;
    if (!fits && !fits_turned) return std::nullopt;
    // PEFT has [out, in], or [in, out] of some layers; a table has its rows first in both.
    const bool is_in_out = site.layout == FactorLayout::kInOut && !site.is_table;
    const bool is_linear = site.layout != FactorLayout::kConv && !site.is_table;
    bool turned = is_linear && is_in_out != stored_in_out_;
    if (turned ? !fits_turned : !fits) turned = !turned;
    const MatrixView view = view_of(tensor.bytes, tensor.dtype, tensor.shape, turned);
    return WholeMatch{given, site.tensor, &site, turned, is_same(view, of_base)};
  }

  static void check_may_travel(const std::string& name, const BranchSite& site) {
    const std::string& reason =
        !site.several_modules.empty() ? site.several_modules : site.no_inputs;
    if (site.several_modules.empty() && (site.branch || site.no_inputs.empty())) return;
    throw Error(ErrorCode::kUnsupported,
                in_quotes(name) + ": its weight " + in_quotes(site.name) + " " + reason,
                kMergeHint);
  }

  bool match_vector(size_t given) {
    const NamedTensor& tensor = tensors_[given];
    Kinship closest = Kinship::kNone;
    std::vector<std::vector<int32_t>> found(bases_.size());
    for (size_t b = 0; b < bases_.size(); ++b) {
      const std::vector<TensorRef>& of_base = bases_[b].model->tensors;
      for (size_t t = 0; t < of_base.size(); ++t) {
        if (of_base[t].shape.size() != 1 || !of_base[t].scope.empty()) continue;
        const Kinship each = kinship(tensor.name, of_base[t].name);
        if (each == Kinship::kNone || each > closest) continue;
        if (each < closest) {
          for (std::vector<int32_t>& tensors : found) tensors.clear();
        }
        closest = each;
        found[b].push_back(static_cast<int32_t>(t));
      }
    }
    for (size_t b = 0; b < bases_.size(); ++b) {
      if (found[b].size() > 1) {
        throw Error(ErrorCode::kInvalid, in_quotes(tensor.name) + ": may be any of " +
                                             std::to_string(found[b].size()) +
                                             " vectors of the base");
      }
      for (const int32_t t : found[b]) add_vector(given, b, t);
    }
    return closest != Kinship::kNone;
  }

  void add_vector(size_t given, size_t base, int32_t t) {
    const NamedTensor& tensor = tensors_[given];
    const TensorRef& of_base = tensor_of(base, t);
    if (tensor.shape != of_base.shape) refuse_shape(tensor, of_base);
    WholeMatch match{given, t, nullptr, false, false};
    match.same = float_format(of_base.dtype) &&
                 is_same(view_of(tensor.bytes, tensor.dtype, tensor.shape, false), of_base);
    const BranchSites& sites = *bases_[base].sites;
    const auto input = sites.inputs.find(of_base.name);
    const bool is_input = input != sites.inputs.end() && input->second.has_default &&
                          input->second.dtype == of_base.dtype;
    if (!match.same && sites.vectors.count(t) == 0 && !is_input) {
      throw Error(ErrorCode::kUnsupported,
                  in_quotes(tensor.name) + ": was trained, and the base's " +
                      in_quotes(of_base.name) + " may be no input of it",
                  kMergeHint);
    }
    result_[base].push_back(match);
  }

  const std::vector<NamedTensor>& tensors_;
  const bool stored_in_out_;
  const std::vector<MatchedBase>& bases_;
  std::vector<std::vector<WholeMatch>> result_;
};

}  // namespace

std::vector<std::vector<WholeMatch>> match_whole_tensors(const std::vector<NamedTensor>& tensors,
                                                         bool stored_in_out,
                                                         const std::vector<MatchedBase>& bases) {
  return Matcher(tensors, stored_in_out, bases).run();
}

std::vector<NamedTensor> parameters_of(const WholeMatch& match, const NamedTensor& given,
                                       const MatchedBase& base, Scratch& scratch) {
  const TensorRef& of_base = base.model->tensors[static_cast<size_t>(match.tensor)];
  const MatrixView to = view_of(given.bytes, given.dtype, given.shape, match.turned);
  std::vector<NamedTensor> parameters;
  const auto add = [&](const std::string& name, int32_t dtype, std::vector<int64_t> shape) {
    parameters.push_back({name, dtype, std::move(shape), {}});
    const auto size = static_cast<size_t>(needed_bytes(parameters.back()));
    const std::span<std::byte> bytes = scratch.allocate(size);
    parameters.back().bytes = bytes;
    return bytes;
  };
  if (match.site == nullptr) {
    const std::span<std::byte> out = add(of_base.name, of_base.dtype, of_base.shape);
    for_each_row(to, of_base.dtype, [&](size_t, std::span<const std::byte> rounded) {
      std::copy(rounded.begin(), rounded.end(), out.begin());
    });
  } else {
    const BranchSite& site = *match.site;
    const MatrixView from = *matrix_of(of_base);
    const uint64_t rank = full_rank(from.rows, from.cols);
    const std::span<std::byte> a = add(site.inputs().a, site.dtype, with_rank(site.a_shape, rank));
    const std::span<std::byte> b = add(site.inputs().b, site.dtype, with_rank(site.b_shape, rank));
    write_full_pair(from, to, site.layout, site.dtype, a, b);
  }
  for (const NamedTensor& parameter : parameters) check_finite(parameter, given.name);
  return parameters;
}

}  // namespace wshare
