#pragma once

#include <cstddef>
#include <vector>

namespace wshare::blas {

// What low rank needs of BLAS and LAPACK. All matrices are column-major; lda, ldb, ldc are the
// distances of their columns in elements.
//
// OpenBLAS is loaded at the first call: it starts threads and takes memory as it is loaded, which
// programs that never call it should not pay for. Where it is missing, the first call throws
// ErrorCode::kUnsupported; where there is not the memory that it takes, ErrorCode::kIo. Under a
// limit it starts no threads.

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
// all threads on one thin product. The setting is the process's; when the last one goes, in
// whichever order, the one from before the first comes back, unless somebody else has set another
// one meanwhile.
//
// Every thread that calls takes 128 MiB of address space, and OpenBLAS tries for ever to get it
// (0.3.21): so what `threads` need is taken here, and callers() says for how many there is enough,
// 1 at least. Throws Error(kIo) if there is none for one.
class SingleThreaded {
 public:
  explicit SingleThreaded(unsigned threads);
  ~SingleThreaded();
  SingleThreaded(const SingleThreaded&) = delete;
  SingleThreaded& operator=(const SingleThreaded&) = delete;

  // How many threads may call at one time, at most as many as were asked for.
  unsigned callers() const { return callers_; }

 private:
  unsigned callers_;
};

}  // namespace wshare::blas
