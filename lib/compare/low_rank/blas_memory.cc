#include "compare/low_rank/blas_memory.h"

#include <dlfcn.h>
#include <sched.h>
#include <sys/mman.h>

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "util/text.h"
#include "wshare/error.h"

namespace wshare::blas {
namespace {

constexpr size_t kLibraryBytes = size_t{48} << 20;  // its segments; Debian's has 35 MiB
constexpr size_t kBufferBytes = size_t{129} << 20;  // for each thread that computes
constexpr size_t kOtherBytes = size_t{32} << 20;    // what we need beside it

bool can_map(size_t bytes) {
  void* address = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED) return false;
  munmap(address, bytes);
  return true;
}

// Threads that wait until they may end.
class Waiting {
 public:
  ~Waiting() {
    {
      const std::lock_guard lock(mutex_);
      over_ = true;
    }
    changed_.notify_all();
  }

  // Returns false if there can be no `count` threads.
  bool start(unsigned count) {
    try {
      for (unsigned i = 0; i < count; ++i) {
        threads_.emplace_back([this] {
          std::unique_lock lock(mutex_);
          changed_.wait(lock, [this] { return over_; });
        });
      }
    } catch (const std::system_error&) {
      return false;
    }
    return true;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool over_ = false;
  std::vector<std::jthread> threads_;  // last, so that they end first
};

// True if the library gets all that `cores` threads take as it is loaded: each has a stack and a
// buffer.
bool has_room_for(unsigned cores) {
  Waiting threads;
  return threads.start(cores - 1) && can_map(kLibraryBytes + cores * kBufferBytes + kOtherBytes);
}

// While one lives, the calling thread has one processor, and OpenBLAS starts as many threads as
// that has.
class OneProcessor {
 public:
  explicit OneProcessor(const cpu_set_t& before) : before_(before) {
    int processor = 0;
    while (processor + 1 < CPU_SETSIZE && !CPU_ISSET(processor, &before)) ++processor;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(processor, &one);
    sched_setaffinity(0, sizeof(one), &one);
  }
  ~OneProcessor() { sched_setaffinity(0, sizeof(before_), &before_); }
  OneProcessor(const OneProcessor&) = delete;
  OneProcessor& operator=(const OneProcessor&) = delete;

 private:
  cpu_set_t before_;
};

}  // namespace

void* load_openblas(const char* library) {
  constexpr int kHow = RTLD_NOW | RTLD_LOCAL;
  if (void* loaded = dlopen(library, kHow | RTLD_NOLOAD)) return loaded;
  cpu_set_t processors;
  const bool known = sched_getaffinity(0, sizeof(processors), &processors) == 0;
  const unsigned cores = known ? static_cast<unsigned>(CPU_COUNT(&processors))
                               : std::max(1U, std::thread::hardware_concurrency());
  if (has_room_for(cores)) return dlopen(library, kHow);
  if (!known || !can_map(kLibraryBytes + kBufferBytes + kOtherBytes)) refuse_for_memory();
  const OneProcessor one(processors);
  return dlopen(library, kHow);
}

unsigned buffers_in_reach(unsigned wanted) {
  while (wanted > 0 && !can_map(wanted * kBufferBytes + kOtherBytes)) --wanted;
  return wanted;
}

void refuse_for_memory() {
  throw Error(ErrorCode::kIo,
              "OpenBLAS, which the search for low rank needs, finds no " +
                  format_bytes(kLibraryBytes + kBufferBytes + kOtherBytes) +
                  " of address space in this process",
              "raise its limit (ulimit -v); 'diff --no-svd' does without OpenBLAS");
}

}  // namespace wshare::blas
