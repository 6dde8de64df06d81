#pragma once

// Tensors of adapters of image models, and what they make of a weight, element by element as the
// papers of LoHa and LoKr say it.

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace wshare::test {

struct KohyaTensor {
  std::vector<int64_t> dims;
  std::vector<float> values;

  double at(size_t i) const { return values.at(i); }
  // Element [i, j] of the matrix of the first dimension against all others.
  double at(size_t i, size_t j) const {
    return values.at(i * (values.size() / static_cast<size_t>(dims[0])) + j);
  }
};

using KohyaTensors = std::map<std::string, KohyaTensor>;  // by name

// Values of few bits, so that products of three are exact.
inline KohyaTensor kohya_tensor(const std::vector<int64_t>& dims, uint32_t seed) {
  KohyaTensor tensor{dims, {}};
  size_t count = 1;
  for (const int64_t dim : dims) count *= static_cast<size_t>(dim);
  for (size_t i = 0; i < count; ++i) {
    seed = seed * 1664525u + 1013904223u;
    tensor.values.push_back((static_cast<float>(seed >> 24) - 127.5f) / 64);
  }
  return tensor;
}

inline KohyaTensor alpha_tensor(float alpha) { return {{}, {alpha}}; }

// A matrix of doubles [rows, cols].
struct Dense {
  size_t rows = 0, cols = 0;
  std::vector<double> values;

  Dense(size_t row_count, size_t col_count)
      : rows(row_count), cols(col_count), values(row_count * col_count) {}
  double& at(size_t i, size_t j) { return values[i * cols + j]; }
  double at(size_t i, size_t j) const { return values[i * cols + j]; }
};

inline Dense dense_of(const KohyaTensor& whole) {
  const auto rows = static_cast<size_t>(whole.dims[0]);
  Dense result(rows, whole.values.size() / rows);
  result.values.assign(whole.values.begin(), whole.values.end());
  return result;
}

inline Dense dense_product(const KohyaTensor& up, const KohyaTensor& down) {
  const Dense a = dense_of(up), b = dense_of(down);
  Dense result(a.rows, b.cols);
  for (size_t i = 0; i < a.rows; ++i) {
    for (size_t j = 0; j < b.cols; ++j) {
      for (size_t r = 0; r < b.rows; ++r) result.at(i, j) += a.at(i, r) * b.at(r, j);
    }
  }
  return result;
}

// sum over i, j of core[i, j, k] · up[i, row] · down[j, in]; with `up_in_rows` of up[row, i].
inline Dense dense_tucker(const KohyaTensor& core, const KohyaTensor& up, const KohyaTensor& down,
                          bool up_in_rows) {
  const auto rank = static_cast<size_t>(core.dims[0]), in = static_cast<size_t>(down.dims[1]);
  const size_t kernel = core.values.size() / rank / rank, rows = up.values.size() / rank;
  Dense result(rows, in * kernel);
  for (size_t row = 0; row < rows; ++row) {
    for (size_t i = 0; i < rank; ++i) {
      const double left = up_in_rows ? up.at(row, i) : up.at(i, row);
      for (size_t j = 0; j < rank; ++j) {
        for (size_t col = 0; col < in * kernel; ++col) {
          result.at(row, col) +=
              left * core.at((i * rank + j) * kernel + col % kernel) * down.at(j, col / kernel);
        }
      }
    }
  }
  return result;
}

inline Dense hadamard(const Dense& a, const Dense& b) {
  Dense result = a;
  for (size_t i = 0; i < result.values.size(); ++i) result.values[i] *= b.values[i];
  return result;
}

inline Dense kronecker(const Dense& a, const Dense& b) {
  Dense result(a.rows * b.rows, a.cols * b.cols);
  for (size_t i = 0; i < result.rows; ++i) {
    for (size_t j = 0; j < result.cols; ++j)
      result.at(i, j) = a.at(i / b.rows, j / b.cols) * b.at(i % b.rows, j % b.cols);
  }
  return result;
}

}  // namespace wshare::test
