#include "inspect/task_weights.h"

#include <algorithm>
#include <cmath>

#include "format/derived_tensor.h"
#include "format/dtype.h"
#include "format/matrix.h"
#include "wshare/error.h"

// extract-lora stores the factors of a merged weight balanced: column k of the left one and row k
// of the right one both have the length of the square root of singular value k. So the product of
// their lengths is that value.

namespace wshare {
namespace {

constexpr std::string_view kFactorA = ".lora_A.weight";

// Returns the bytes of `extent`, or nothing where they are not to be had.
std::span<const std::byte> bytes_at(const StoredFiles& files, const Extent& extent) {
  try {
    return files.bytes(extent);
  } catch (const Error&) {
    return {};
  }
}

// Returns the lengths of the `rank` columns of a factor seen as [size, rank]; empty if its bytes
// are not to be had.
std::vector<double> column_lengths(const StoredFiles& files, const MatrixRecord& factor,
                                   uint64_t size, uint64_t rank, bool columns_stored_as_rows) {
  const std::span<const std::byte> bytes = bytes_at(files, factor.extent);
  if (bytes.empty()) return {};
  MatrixView view{bytes, factor.dtype, size, rank, factor.transposed};
  if (columns_stored_as_rows) {
    view.rows = rank;
    view.cols = size;
    view = transpose_of(view);
  }
  std::vector<double> squares(rank), row(rank);
  for (uint64_t i = 0; i < size; ++i) {
    read_rows(view, i, 1, row.data());
    for (size_t k = 0; k < rank; ++k) squares[k] += row[k] * row[k];
  }
  for (double& square : squares) square = std::sqrt(square);
  return squares;
}

std::vector<double> strengths_of(const StoredFiles& files, const OriginalTensor& tensor) {
  const DerivationRecord& derivation = *tensor.derivation;
  check_derivation(tensor);
  const uint64_t elements = element_count(tensor.shape).value_or(0);
  if (elements == 0) return {};
  const auto rows = tensor.shape.empty() ? uint64_t{1} : static_cast<uint64_t>(tensor.shape[0]);
  const uint64_t cols = elements / rows;
  std::vector<double> left = column_lengths(files, *derivation.left, rows, derivation.rank, false);
  const std::vector<double> right =
      column_lengths(files, *derivation.right, cols, derivation.rank, true);
  if (left.empty() || right.empty()) return {};
  std::transform(left.begin(), left.end(), right.begin(), left.begin(), std::multiplies<>());
  std::sort(left.begin(), left.end(), std::greater<>());
  return left;
}

}  // namespace

std::vector<InspectedTaskWeight> weights_of(const TaskRecord& task, const StoredFiles& files) {
  std::vector<InspectedTaskWeight> weights;
  for (const OriginalTensor& tensor : task.tensors) {
    if (!tensor.derivation || tensor.derivation->rank == 0) continue;
    const DerivationRecord& derivation = *tensor.derivation;
    weights.push_back({tensor.name, derivation.rank, derivation.relative_error,
                       derivation.residual.size, strengths_of(files, tensor)});
  }
  if (!weights.empty()) return weights;
  for (const ParameterRecord& parameter : task.parameters) {
    std::string_view name = parameter.name;
    if (!name.ends_with(kFactorA) || parameter.shape.size() < 2) continue;
    name.remove_suffix(kFactorA.size());
    weights.push_back({std::string(name), static_cast<uint64_t>(parameter.shape[1]), 0, 0, {}});
  }
  return weights;
}

}  // namespace wshare
