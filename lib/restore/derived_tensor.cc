#include "restore/derived_tensor.h"

#include <cstring>

#include "format/dtype.h"
#include "format/residual.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

using Bytes = std::span<const std::byte>;
using BytesOf = std::function<Bytes(const Extent&)>;

// A tensor as a matrix: the first dimension against all others, whose product cannot overflow since
// the manifest was read with byte_size().
std::pair<uint64_t, uint64_t> matrix_shape(const std::vector<int64_t>& shape) {
  if (shape.empty()) return {1, 1};
  const auto rows = static_cast<uint64_t>(shape[0]);
  uint64_t cols = 1;
  for (size_t i = 1; i < shape.size(); ++i) cols *= static_cast<uint64_t>(shape[i]);
  return {rows, cols};
}

std::optional<MatrixView> view_of(const std::optional<MatrixRecord>& matrix, uint64_t rows,
                                  uint64_t cols, const BytesOf& bytes_of) {
  if (!matrix) return std::nullopt;
  return MatrixView{bytes_of(matrix->extent), find_dtype(std::string_view(matrix->dtype))->code,
                    rows, cols, matrix->transposed};
}

}  // namespace

Bytes derive_tensor(const OriginalTensor& tensor, const BytesOf& bytes_of, Scratch& scratch) {
  const DerivationRecord& derivation = *tensor.derivation;
  const auto [rows, cols] = matrix_shape(tensor.shape);
  try {
    const Prediction prediction{find_dtype(std::string_view(tensor.dtype))->code,
                                rows,
                                cols,
                                view_of(derivation.base, rows, cols, bytes_of),
                                derivation.multiplier,
                                view_of(derivation.left, rows, derivation.rank, bytes_of),
                                view_of(derivation.right, derivation.rank, cols, bytes_of)};
    const std::span<std::byte> out =
        scratch.allocate(static_cast<size_t>(check_prediction(prediction)));
    std::span<std::byte> rest = out;
    decode_residual(prediction, bytes_of(derivation.residual), [&](Bytes bytes) {
      std::memcpy(rest.data(), bytes.data(), bytes.size());
      rest = rest.subspan(bytes.size());
    });
    return out;
  } catch (const Error& error) {
    throw Error(error.code(), "tensor " + in_quotes(tensor.name) + ": " + error.what(),
                error.hint());
  }
}

}  // namespace wshare
