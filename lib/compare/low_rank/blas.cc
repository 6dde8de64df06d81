#include "compare/low_rank/blas.h"

#include <dlfcn.h>

#include <algorithm>
#include <mutex>
#include <string>

#include "compare/low_rank/blas_memory.h"
#include "wshare/error.h"

namespace wshare::blas {
namespace {

constexpr char kLibrary[] = "libopenblas.so.0";
constexpr unsigned kMostCallers = 64;  // OpenBLAS has room for 128, and for its own threads

// The Fortran interface, which every build of OpenBLAS has; lengths of texts come last.
// Source: LAPACK 3.11, the heads of these routines.
using Gemm = void(const char*, const char*, const int*, const int*, const int*, const double*,
                  const double*, const int*, const double*, const int*, const double*, double*,
                  const int*, size_t, size_t);
using Geqrf = void(const int*, const int*, double*, const int*, double*, double*, const int*, int*);
using Orgqr = void(const int*, const int*, const int*, double*, const int*, const double*, double*,
                   const int*, int*);
using Gesdd = void(const char*, const int*, const int*, double*, const int*, double*, double*,
                   const int*, double*, const int*, double*, const int*, int*, int*, size_t);

class Library {
 public:
  Library() : handle_(load_openblas(kLibrary)) {
    if (handle_ == nullptr) {
      const char* reason = dlerror();
      throw Error(ErrorCode::kUnsupported,
                  "cannot load OpenBLAS, which the search for low rank needs: " +
                      std::string(reason == nullptr ? kLibrary : reason),
                  "Debian: apt-get install libopenblas0; 'diff --no-svd' does without");
    }
    find(gemm, "dgemm_");
    find(geqrf, "dgeqrf_");
    find(orgqr, "dorgqr_");
    find(gesdd, "dgesdd_");
    find(get_threads, "openblas_get_num_threads");
    find(set_threads, "openblas_set_num_threads");
    take_buffer = reinterpret_cast<void* (*)(int)>(dlsym(handle_, "blas_memory_alloc"));
    give_buffer = reinterpret_cast<void (*)(void*)>(dlsym(handle_, "blas_memory_free"));
  }

  Gemm* gemm;
  Geqrf* geqrf;
  Orgqr* orgqr;
  Gesdd* gesdd;
  int (*get_threads)();
  void (*set_threads)(int);
  // What every call takes first and gives back; null where the library does not show them. It keeps
  // what was given back for later calls.
  void* (*take_buffer)(int);
  void (*give_buffer)(void*);

 private:
  template <typename Function>
  void find(Function*& function, const char* name) {
    function = reinterpret_cast<Function*>(dlsym(handle_, name));
    if (function == nullptr) {
      throw Error(ErrorCode::kUnsupported, std::string(kLibrary) + " has no " + name);
    }
  }

  void* handle_;  // never closed: its threads run until the end
};

const Library& library() {
  static const Library loaded;
  return loaded;
}

void check(int status, const char* routine) {
  if (status != 0) {
    throw Error(ErrorCode::kInvalid,
                std::string("LAPACK ") + routine + " returned " + std::to_string(status));
  }
}

// The number of threads that OpenBLAS uses, while it is 1 for some SingleThreaded.
struct Setting {
  std::mutex mutex;
  int users = 0, before = 0;
};

Setting& setting() {
  static Setting shared;
  return shared;
}

// Makes OpenBLAS hold the memory for `threads` callers, or for as many as there is enough of.
unsigned reserve_buffers(unsigned threads) {
  static std::mutex mutex;
  static unsigned held = 0;
  const Library& blas = library();
  const std::lock_guard lock(mutex);
  threads = std::clamp(threads, 1U, kMostCallers);
  if (held >= threads) return threads;
  const unsigned more = buffers_in_reach(threads - held);
  if (held + more == 0) refuse_for_memory();
  if (blas.take_buffer != nullptr && blas.give_buffer != nullptr) {
    std::vector<void*> buffers;
    for (unsigned i = 0; i < held + more; ++i) buffers.push_back(blas.take_buffer(0));
    for (void* buffer : buffers) blas.give_buffer(buffer);
    held += more;
    return held;
  }
  return std::min(threads, held + more);
}

int to_int(size_t value) { return static_cast<int>(value); }

// Calls routine(work, length, status) twice: first it says how much work space it wants.
template <typename Routine>
void call_with_work_space(const char* name, const Routine& routine) {
  double wanted = 0;
  int status = 0;
  routine(&wanted, -1, &status);
  check(status, name);
  std::vector<double> work(std::max<size_t>(1, static_cast<size_t>(wanted)));
  routine(work.data(), to_int(work.size()), &status);
  check(status, name);
}

}  // namespace

void gemm(Op op_a, Op op_b, size_t m, size_t n, size_t k, double alpha, const double* a, size_t lda,
          const double* b, size_t ldb, double beta, double* c, size_t ldc) {
  const char a_is = op_a == Op::kPlain ? 'N' : 'T', b_is = op_b == Op::kPlain ? 'N' : 'T';
  const int rows = to_int(m), cols = to_int(n), inner = to_int(k);
  const int a_step = to_int(lda), b_step = to_int(ldb), c_step = to_int(ldc);
  library().gemm(&a_is, &b_is, &rows, &cols, &inner, &alpha, a, &a_step, b, &b_step, &beta, c,
                 &c_step, 1, 1);
}

void qr(size_t m, size_t n, double* a, size_t lda, std::vector<double>& tau) {
  const int rows = to_int(m), cols = to_int(n), step = to_int(lda);
  tau.resize(std::min(m, n));
  call_with_work_space("dgeqrf", [&](double* work, int length, int* status) {
    library().geqrf(&rows, &cols, a, &step, tau.data(), work, &length, status);
  });
}

void form_q(size_t m, size_t n, double* a, size_t lda, const std::vector<double>& tau) {
  const int rows = to_int(m), cols = to_int(n), step = to_int(lda);
  call_with_work_space("dorgqr", [&](double* work, int length, int* status) {
    library().orgqr(&rows, &cols, &cols, a, &step, tau.data(), work, &length, status);
  });
}

void svd(size_t n, std::vector<double>& a, std::vector<double>& values, std::vector<double>& vt) {
  const int size = to_int(n);
  values.assign(n, 0);
  vt.assign(n * n, 0);
  std::vector<double> u(n * n);
  std::vector<int> integers(8 * n);
  call_with_work_space("dgesdd", [&](double* work, int length, int* status) {
    library().gesdd("S", &size, &size, a.data(), &size, values.data(), u.data(), &size, vt.data(),
                    &size, work, &length, integers.data(), status, 1);
  });
}

SingleThreaded::SingleThreaded(unsigned threads) : callers_(reserve_buffers(threads)) {
  const std::lock_guard lock(setting().mutex);
  if (setting().users++ != 0) return;
  setting().before = library().get_threads();
  library().set_threads(1);
}

SingleThreaded::~SingleThreaded() {
  const std::lock_guard lock(setting().mutex);
  if (--setting().users == 0 && library().get_threads() == 1)
    library().set_threads(setting().before);
}

}  // namespace wshare::blas
