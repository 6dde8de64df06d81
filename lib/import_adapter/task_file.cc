#include "import_adapter/task_file.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "format/dtype.h"
#include "format/matrix.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

// A factor as a branch takes it, as a matrix: the first dimension against all others.
MatrixView view_of(const GivenModule& module, const NamedTensor& factor) {
  const std::vector<int64_t> shape = branch_shape(module, factor);
  uint64_t cols = 1;
  for (size_t i = 1; i < shape.size(); ++i) cols *= static_cast<uint64_t>(shape[i]);
  return {factor.bytes, factor.dtype, static_cast<uint64_t>(shape[0]), cols, module.turned};
}

// Throws unless every value of `row` is a number of `dtype`.
void check_finite(const GivenModule& module, const NamedTensor& factor,
                  const std::vector<double>& given, std::span<const std::byte> rounded,
                  int32_t dtype, std::vector<double>& back) {
  read_values(rounded, dtype, back.data());
  for (size_t i = 0; i < back.size(); ++i) {
    if (std::isfinite(back[i])) continue;
    throw Error(ErrorCode::kInvalid,
                "module " + in_quotes(module.path) + ": " + in_quotes(factor.name) + " has " +
                    (std::isfinite(given[i])
                         ? "a value that, scaled, is too large for the base's " + dtype_name(dtype)
                         : std::string("a value that is no finite number")));
  }
}

// Returns the bytes of `factor` as a branch of element type `dtype` takes them, times `scaling`.
std::span<const std::byte> convert(const GivenModule& module, const NamedTensor& factor,
                                   double scaling, int32_t dtype, Scratch& scratch) {
  const MatrixView view = view_of(module, factor);
  const auto cols = static_cast<size_t>(view.cols);
  const size_t row_bytes = cols * float_format(dtype)->size;
  const std::span<std::byte> out = scratch.allocate(static_cast<size_t>(view.rows) * row_bytes);
  std::vector<double> row(cols), back(cols);
  for (uint64_t i = 0; i < view.rows; ++i) {
    read_rows(view, i, 1, row.data());
    for (double& value : row) value *= scaling;
    const std::span<std::byte> rounded = out.subspan(static_cast<size_t>(i) * row_bytes, row_bytes);
    write_values(row, dtype, rounded.data());
    check_finite(module, factor, row, rounded, dtype, back);
  }
  return out;
}

void check_value(const NamedTensor& value, const SessionInput& input) {
  const bool fits =
      std::equal(value.shape.begin(), value.shape.end(), input.shape.begin(), input.shape.end(),
                 [](int64_t given, int64_t wanted) { return wanted < 0 || given == wanted; });
  if (value.dtype == input.dtype && fits) return;
  throw Error(ErrorCode::kInvalid,
              "parameter " + in_quotes(value.name) +
                  ": has another element type or shape than the base's input, " +
                  dtype_name(input.dtype));
}

template <typename Thing>
std::unordered_map<std::string_view, const Thing*> by_name(const std::vector<Thing>& things) {
  std::unordered_map<std::string_view, const Thing*> result;
  for (const Thing& thing : things) result.emplace(thing.name, &thing);
  return result;
}

// Factors of one branch must come together: with the default of the other a run would fail.
void check_pairs(const std::vector<NamedTensor>& values, const std::vector<BranchSite>& weights) {
  const auto value_called = by_name(values);
  const auto find = [&](const std::string& name) {
    const auto found = value_called.find(name);
    return found == value_called.end() ? nullptr : found->second;
  };
  for (const BranchSite& weight : weights) {
    if (!weight.branch) continue;
    const NamedTensor* a = find(weight.inputs().a);
    const NamedTensor* b = find(weight.inputs().b);
    if (a == nullptr && b == nullptr) continue;
    if (a == nullptr || b == nullptr) {
      throw Error(ErrorCode::kInvalid,
                  "parameter " + in_quotes(a == nullptr ? weight.inputs().b : weight.inputs().a) +
                      ": comes without " +
                      in_quotes(a == nullptr ? weight.inputs().a : weight.inputs().b));
    }
    const auto dim = std::find(weight.b_shape.begin(), weight.b_shape.end(), int64_t{-1});
    const int64_t rank_b = b->shape[static_cast<size_t>(dim - weight.b_shape.begin())];
    if (rank_of(weight, *a) == rank_b) continue;
    throw Error(ErrorCode::kInvalid, "parameters " + in_quotes(weight.inputs().a) + " and " +
                                         in_quotes(weight.inputs().b) + ": have ranks " +
                                         std::to_string(rank_of(weight, *a)) + " and " +
                                         std::to_string(rank_b));
  }
}

}  // namespace

int64_t rank_of(const BranchSite& weight, const NamedTensor& factor) {
  const auto dim = std::find(weight.a_shape.begin(), weight.a_shape.end(), int64_t{-1});
  return factor.shape.at(static_cast<size_t>(dim - weight.a_shape.begin()));
}

TaskFile make_task_file(const GivenAdapter& adapter, const std::vector<ModuleMatch>& matches,
                        const BranchSites& base, Scratch& scratch) {
  TaskFile file;
  for (const ModuleMatch& match : matches) {
    const BranchSite& weight = base.sites[match.weight];
    GivenModule module = laid_out_for(adapter.modules[match.module], weight);
    Scratch of_product;
    fill(module, of_product);
    file.parameters.push_back({weight.inputs().a, weight.dtype, branch_shape(module, module.a),
                               convert(module, module.a, 1, weight.dtype, scratch)});
    file.parameters.push_back({weight.inputs().b, weight.dtype, branch_shape(module, module.b),
                               convert(module, module.b, module.scaling, weight.dtype, scratch)});
  }
  std::vector<NamedTensor> values;
  for (const NamedTensor& value : adapter.values) {
    const auto input = base.inputs.find(value.name);
    if (input == base.inputs.end()) continue;  // of another base
    check_value(value, input->second);
    values.push_back(value);
  }
  check_pairs(values, base.sites);
  file.parameters.insert(file.parameters.end(), values.begin(), values.end());
  return file;
}

std::vector<ParameterRecord> records_of(const TaskFile& file) {
  std::vector<ParameterRecord> records;
  for (const NamedTensor& parameter : file.parameters)
    records.push_back({parameter.name, parameter.dtype, parameter.shape});
  return records;
}

}  // namespace wshare
