#include "lora/low_rank_product.h"

#include <algorithm>
#include <vector>

#include "format/matrix.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

bool is_given(const NamedTensor& tensor) { return !tensor.name.empty(); }

[[noreturn]] void refuse(const NamedTensor& tensor) {
  throw Error(ErrorCode::kInvalid,
              in_quotes(tensor.name) + ": does not fit what it is a factor of");
}

uint64_t dim(const NamedTensor& tensor, size_t i) { return static_cast<uint64_t>(tensor.shape[i]); }

// Elements behind the first `from` dimensions; needed_bytes() has said that they can be counted.
uint64_t rest(const NamedTensor& tensor, size_t from) {
  uint64_t product = 1;
  for (size_t i = from; i < tensor.shape.size(); ++i) product *= dim(tensor, i);
  return product;
}

void check_tensor(const NamedTensor& tensor) {
  bool fits = holds_floats(tensor) && tensor.shape.size() >= 2;
  for (const int64_t each : tensor.shape) fits = fits && each > 0;
  if (!fits) throw Error(ErrorCode::kInvalid, in_quotes(tensor.name) + ": is no matrix of floats");
  check_size(tensor, tensor.bytes.size());
}

LowRankSize size_of(const StoredMatrix& matrix) {
  const NamedTensor &up = matrix.up, &down = matrix.down, &core = matrix.core;
  check_tensor(up);
  if (!is_given(down)) {
    const uint64_t rows = dim(up, 0), cols = rest(up, 1);
    return {rows, cols, std::min(rows, cols)};
  }
  check_tensor(down);
  const uint64_t rank = dim(up, matrix.up_turned ? 0 : 1);
  if (rest(up, 2) != 1 || dim(down, 0) != rank) refuse(down);
  const uint64_t rows = dim(up, matrix.up_turned ? 1 : 0);
  if (!is_given(core)) return {rows, rest(down, 1), rank};
  check_tensor(core);
  if (dim(core, 0) != rank || dim(core, 1) != rank || rest(down, 2) != 1) refuse(core);
  const uint64_t kernel = rest(core, 2), in = dim(down, 1);
  if (kernel > INT64_MAX / in) refuse(core);
  return {rows, in * kernel, rank};
}

// A matrix of doubles, row by row.
struct Values {
  size_t rows = 0, cols = 0;
  std::vector<double> all;

  Values(uint64_t row_count, uint64_t col_count)
      : rows(static_cast<size_t>(row_count)), cols(static_cast<size_t>(col_count)) {
    all.resize(rows * cols);
  }
  double* row(size_t i) { return all.data() + i * cols; }
  const double* row(size_t i) const { return all.data() + i * cols; }
};

Values read(const NamedTensor& tensor, bool turned = false) {
  MatrixView view{tensor.bytes, tensor.dtype, dim(tensor, 0), rest(tensor, 1), false};
  if (turned) view = transpose_of(view);
  Values values(view.rows, view.cols);
  read_rows(view, 0, view.rows, values.all.data());
  return values;
}

Values identity(uint64_t size) {
  Values values(size, size);
  for (size_t i = 0; i < values.rows; ++i) values.row(i)[i] = 1;
  return values;
}

// A matrix as U · D.
struct Pair {
  Values up, down;
};

// D of Tucker's form: row i has the sum over j of core[i, j, kernel] · down[j, in].
Values contract(const NamedTensor& core, const Values& down) {
  const Values kernels = read(core);  // [rank, rank x kernel]
  const size_t kernel = kernels.cols / down.rows;
  Values result(kernels.rows, down.cols * kernel);
  for (size_t i = 0; i < kernels.rows; ++i) {
    for (size_t j = 0; j < down.rows; ++j) {
      for (size_t in = 0; in < down.cols; ++in) {
        for (size_t k = 0; k < kernel; ++k)
          result.row(i)[in * kernel + k] += kernels.row(i)[j * kernel + k] * down.row(j)[in];
      }
    }
  }
  return result;
}

Pair pair_of(const StoredMatrix& matrix) {
  if (!is_given(matrix.down)) {
    Values whole = read(matrix.up);
    if (whole.rows <= whole.cols) return {identity(whole.rows), std::move(whole)};
    const uint64_t cols = whole.cols;
    return {std::move(whole), identity(cols)};
  }
  Values down = read(matrix.down);
  if (is_given(matrix.core)) down = contract(matrix.core, down);
  return {read(matrix.up, matrix.up_turned), std::move(down)};
}

NamedTensor allocate(const char* name, uint64_t rows, uint64_t cols, std::span<std::byte>& out,
                     Scratch& scratch) {
  out = scratch.allocate(static_cast<size_t>(rows * cols * sizeof(double)));
  return {name, kFloat64, {static_cast<int64_t>(rows), static_cast<int64_t>(cols)}, out};
}

void write_row(const std::vector<double>& row, size_t i, std::span<std::byte> out) {
  write_values(row, kFloat64, out.data() + i * row.size() * sizeof(double));
}

// Writes for each pair of a row of `a` and one of `b` their Kronecker product; with `same` only for
// rows of one number.
void write_products(const Values& a, const Values& b, bool same, std::span<std::byte> out) {
  std::vector<double> row(a.cols * b.cols);
  const size_t rows = same ? a.rows : a.rows * b.rows;
  for (size_t r = 0; r < rows; ++r) {
    const double* x = a.row(same ? r : r / b.rows);
    const double* y = b.row(same ? r : r % b.rows);
    for (size_t i = 0; i < a.cols; ++i) {
      for (size_t j = 0; j < b.cols; ++j) row[i * b.cols + j] = x[i] * y[j];
    }
    write_row(row, r, out);
  }
}

// Writes for each pair of a row of `a` and one of `b` their products element by element.
void write_elementwise(const Values& a, const Values& b, std::span<std::byte> out) {
  std::vector<double> row(a.cols);
  for (size_t r = 0; r < a.rows * b.rows; ++r) {
    const double* x = a.row(r / b.rows);
    const double* y = b.row(r % b.rows);
    for (size_t i = 0; i < a.cols; ++i) row[i] = x[i] * y[i];
    write_row(row, r, out);
  }
}

// Writes row `i` of U · D to `out`.
void write_product_row(const Pair& pair, size_t i, std::vector<double>& out) {
  out.assign(pair.down.cols, 0);
  for (size_t r = 0; r < pair.down.rows; ++r) {
    const double factor = pair.up.row(i)[r];
    if (factor == 0) continue;  // of an identity nearly all
    for (size_t j = 0; j < out.size(); ++j) out[j] += factor * pair.down.row(r)[j];
  }
}

// Writes the Hadamard or the Kronecker product itself, row by row.
void write_whole(const Pair& a, const Pair& b, bool hadamard, std::span<std::byte> out) {
  const size_t rows = hadamard ? a.up.rows : a.up.rows * b.up.rows;
  std::vector<double> x, y, row(hadamard ? a.down.cols : a.down.cols * b.down.cols);
  for (size_t r = 0; r < rows; ++r) {
    write_product_row(a, hadamard ? r : r / b.up.rows, x);
    write_product_row(b, hadamard ? r : r % b.up.rows, y);
    for (size_t j = 0; j < row.size(); ++j)
      row[j] = hadamard ? x[j] * y[j] : x[j / y.size()] * y[j % y.size()];
    write_row(row, r, out);
  }
}

void write_identity(uint64_t size, std::span<std::byte> out) {
  std::vector<double> row(static_cast<size_t>(size));
  for (size_t i = 0; i < row.size(); ++i) {
    row[i] = 1;
    write_row(row, i, out);
    row[i] = 0;
  }
}

}  // namespace

LowRankSize size_of(const LowRankProduct& product) {
  const LowRankSize a = size_of(product.first);
  if (product.how == LowRankProduct::How::kFirst) return a;
  const LowRankSize b = size_of(product.second);
  const auto times = [&](uint64_t x, uint64_t y) {
    if (x > INT32_MAX || y > INT32_MAX) refuse(product.second.up);
    return x * y;
  };
  const bool kronecker = product.how == LowRankProduct::How::kKronecker;
  if (!kronecker && (a.rows != b.rows || a.cols != b.cols)) refuse(product.second.up);
  const uint64_t rows = kronecker ? times(a.rows, b.rows) : a.rows;
  const uint64_t cols = kronecker ? times(a.cols, b.cols) : a.cols;
  return {rows, cols, std::min({rows, cols, times(a.rank, b.rank)})};
}

ProductFactors factors_of(const LowRankProduct& product, Scratch& scratch) {
  const LowRankSize size = size_of(product);
  std::span<std::byte> up, down;
  ProductFactors factors{allocate("U", size.rows, size.rank, up, scratch),
                         allocate("D", size.rank, size.cols, down, scratch)};
  const Pair a = pair_of(product.first);
  if (product.how == LowRankProduct::How::kFirst) {
    write_values(a.up.all, kFloat64, up.data());
    write_values(a.down.all, kFloat64, down.data());
    return factors;
  }
  const Pair b = pair_of(product.second);
  const bool hadamard = product.how == LowRankProduct::How::kHadamard;
  if (size.rank == std::min(size.rows, size.cols)) {
    const bool whole_is_up = size.rows > size.cols;
    write_whole(a, b, hadamard, whole_is_up ? up : down);
    write_identity(size.rank, whole_is_up ? down : up);
    return factors;
  }
  write_products(a.up, b.up, hadamard, up);
  hadamard ? write_elementwise(a.down, b.down, down) : write_products(a.down, b.down, false, down);
  return factors;
}

}  // namespace wshare
