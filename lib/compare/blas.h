#pragma once

#include <cstddef>
#include <vector>

namespace wshare::blas {

// What low rank needs of BLAS and LAPACK. All matrices are column-major; lda, ldb, ldc are the
// distances of their columns in elements.
//
// OpenBLAS is loaded at the first call: it starts threads and takes memory as it is loaded, which
// programs that never call it should not pay for. Where it is missing, the first call throws
// ErrorCode::kUnsupported.

enum class Op { kPlain, kTransposed };

// c [m, n] = alpha · op(a) · op(b) + beta · c, with op(a) [m, k] and op(b) [k, n].
void gemm(Op op_a, Op op_b, size_t m, size_t n, size_t k, double alpha, const double* a, size_t lda,
          const double* b, size_t ldb, double beta, double* c, size_t ldc);

// Makes a [m, n] its QR: R in the upper triangle, reflectors below it and in `tau`.
void qr(size_t m, size_t n, double* a, size_t lda, std::vector<double>& tau);

// Makes a [m, n], as qr() left it, the first n columns of Q. m >= n
void form_q(size_t m, size_t n, double* a, size_t lda, const std::vector<double>& tau);

// Writes the singular values of a [n, n], falling, to `values`, and V^T [n, n] to `vt`. Overwrites
// a.
void svd(size_t n, std::vector<double>& a, std::vector<double>& values, std::vector<double>& vt);

// While one lives, calls stay on the thread that makes them: one matrix per thread is faster than
// all threads on one thin product. The setting is the process's; the old one comes back.
class SingleThreaded {
 public:
  SingleThreaded();
  ~SingleThreaded();
  SingleThreaded(const SingleThreaded&) = delete;
  SingleThreaded& operator=(const SingleThreaded&) = delete;

 private:
  int before_;
};

}  // namespace wshare::blas
