// What ONNX Runtime's CUDA provider calls of cuBLAS: products of float32 matrices are computed, of
// other types they are not. Matrices stand column by column.

#include <cstddef>
#include <vector>

#include "cuda/stand_in/memory.h"

namespace {

using namespace wshare::test;

constexpr int kFloat = 0;  // CUDA_R_32F
int something;

struct Matrix {
  const float* values;
  int stride;
  bool is_transposed;

  float at(int row, int column) const {
    const auto [down, along] = is_transposed ? std::pair(column, row) : std::pair(row, column);
    return values[down + static_cast<ptrdiff_t>(along) * stride];
  }
};

// result = alpha a b + beta result, where `a` has `rows` rows and `depth` columns.
void multiply(int rows, int columns, int depth, float alpha, Matrix a, Matrix b, float beta,
              float* result, int stride) {
  const auto bytes_of = [](const Matrix& matrix, int down, int along) {
    const int lines = matrix.is_transposed ? down : along;
    const int length = matrix.is_transposed ? along : down;
    return (static_cast<size_t>(lines - 1) * static_cast<size_t>(matrix.stride) +
            static_cast<size_t>(length)) *
           sizeof(float);
  };
  a.values = host_address(a.values, bytes_of(a, rows, depth));
  b.values = host_address(b.values, bytes_of(b, depth, columns));
  result = host_address(result, bytes_of({result, stride, false}, rows, columns));
  std::vector<float> sums(static_cast<size_t>(rows));
  for (int column = 0; column < columns; ++column) {
    std::fill(sums.begin(), sums.end(), 0.F);
    for (int i = 0; i < depth; ++i) {
      const float factor = b.at(i, column);
      for (int row = 0; row < rows; ++row) sums[static_cast<size_t>(row)] += a.at(row, i) * factor;
    }
    float* to = result + static_cast<ptrdiff_t>(column) * stride;
    for (int row = 0; row < rows; ++row)
      to[row] = alpha * sums[static_cast<size_t>(row)] + (beta == 0 ? 0 : beta * to[row]);
  }
}

}  // namespace

extern "C" {

int cublasCreate_v2(void** handle) {
  *handle = &something;
  return 0;
}
int cublasLtCreate(void** handle) { return cublasCreate_v2(handle); }
int cublasGetMathMode(void*, int* mode) {
  *mode = 0;
  return 0;
}
const char* cublasGetStatusName(int) { return "an error of the stand-in"; }
const char* cublasGetStatusString(int) { return "an error of the stand-in"; }

int cublasSgemm_v2(void*, int transpose_a, int transpose_b, int rows, int columns, int depth,
                   const float* alpha, const float* a, int stride_a, const float* b, int stride_b,
                   const float* beta, float* result, int stride) {
  multiply(rows, columns, depth, *alpha, {a, stride_a, transpose_a != 0},
           {b, stride_b, transpose_b != 0}, *beta, result, stride);
  return 0;
}
int cublasGemmEx(void* handle, int transpose_a, int transpose_b, int rows, int columns, int depth,
                 const void* alpha, const void* a, int type_a, int stride_a, const void* b, int,
                 int stride_b, const void* beta, void* result, int, int stride, int, int) {
  if (type_a != kFloat) return 0;
  return cublasSgemm_v2(handle, transpose_a, transpose_b, rows, columns, depth,
                        static_cast<const float*>(alpha), static_cast<const float*>(a), stride_a,
                        static_cast<const float*>(b), stride_b, static_cast<const float*>(beta),
                        static_cast<float*>(result), stride);
}

}  // extern "C"
