// Opening of files, of which one call fails, for programs that load this before all other libraries
// (LD_PRELOAD): in each process, the call number FAIL_OPEN_AT (from 1 on) for a path that has
// FAIL_OPEN_PATH in it fails with the error number FAIL_OPEN_ERROR.

#include <dlfcn.h>
#include <sys/types.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

bool is_to_fail(const char* path) {
  static std::atomic<int> calls = 0;
  const char* wanted = std::getenv("FAIL_OPEN_PATH");
  const char* at = std::getenv("FAIL_OPEN_AT");
  const char* error = std::getenv("FAIL_OPEN_ERROR");
  if (wanted == nullptr || at == nullptr || error == nullptr) return false;
  if (std::strstr(path, wanted) == nullptr || ++calls != std::atoi(at)) return false;
  errno = std::atoi(error);
  return true;
}

template <typename Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

}  // namespace

// The mode is there only with some flags; without them nobody looks at what is read here.
#define MODE_BEHIND(last)                                        \
  va_list rest;                                                  \
  va_start(rest, last);                                          \
  const auto mode = static_cast<mode_t>(va_arg(rest, unsigned)); \
  va_end(rest)

extern "C" int open(const char* path, int flags, ...) {
  MODE_BEHIND(flags);
  if (is_to_fail(path)) return -1;
  return next<int(const char*, int, ...)>("open")(path, flags, mode);
}

extern "C" int openat(int folder, const char* path, int flags, ...) {
  MODE_BEHIND(flags);
  if (is_to_fail(path)) return -1;
  return next<int(int, const char*, int, ...)>("openat")(folder, path, flags, mode);
}

extern "C" FILE* fopen64(const char* path, const char* mode) {
  if (is_to_fail(path)) return nullptr;
  return next<FILE*(const char*, const char*)>("fopen64")(path, mode);
}
