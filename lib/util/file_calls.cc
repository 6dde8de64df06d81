#include "util/file_calls.h"

#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

namespace wshare {
namespace {

using Kind = FileCall::Kind;

std::atomic<FileCallProbe*> probe_now{nullptr};

// Makes `call` by `system`, as the probe wants it, until it is not interrupted.
template <typename System>
int64_t make(FileCall call, const System& system) {
  FileCallProbe* const probe = probe_now.load(std::memory_order_acquire);
  for (;;) {
    int64_t result = 0;
    int error = 0;
    const int fate = probe == nullptr ? FileCallProbe::kMake : probe->before(call);
    if (fate == FileCallProbe::kMake) {
      result = system(call);
      error = errno;
    } else if (fate != FileCallProbe::kPretend) {
      result = -1;
      error = fate;
    }
    if (probe != nullptr) probe->after(call, result);
    errno = error;
    if (result >= 0 || error != EINTR) return result;
  }
}

template <typename System>
int make_int(const FileCall& call, const System& system) {
  return static_cast<int>(make(call, system));
}

}  // namespace

FileCallProbe* watch_file_calls(FileCallProbe* probe) { return probe_now.exchange(probe); }

namespace file_calls {

int open_at(int folder, const char* path, int flags, mode_t mode) {
  return make_int({.kind = Kind::kOpen, .descriptor = folder, .path = path, .flags = flags},
                  [&](const FileCall&) { return ::openat(folder, path, flags, mode); });
}

int make_folder_at(int folder, const char* path, mode_t mode) {
  return make_int({.kind = Kind::kMakeFolder, .descriptor = folder, .path = path},
                  [&](const FileCall&) { return ::mkdirat(folder, path, mode); });
}

int64_t read_at(int descriptor, std::span<std::byte> bytes, uint64_t offset) {
  return make({.kind = Kind::kRead, .descriptor = descriptor, .size = bytes.size()},
              [&](const FileCall& call) {
                return ::pread(descriptor, bytes.data(), call.size, static_cast<off_t>(offset));
              });
}

int write_at(int descriptor, std::span<const std::byte> bytes, uint64_t offset) {
  while (!bytes.empty()) {
    const int64_t done =
        make({.kind = Kind::kWrite, .descriptor = descriptor, .size = bytes.size()},
             [&](const FileCall& call) {
               return ::pwrite(descriptor, bytes.data(), call.size, static_cast<off_t>(offset));
             });
    if (done < 0) return -1;
    if (done == 0) {  // POSIX gives it no meaning; to go on would be for ever
      errno = EIO;
      return -1;
    }
    offset += static_cast<uint64_t>(done);
    bytes = bytes.subspan(static_cast<size_t>(done));
  }
  return 0;
}

int allocate(int descriptor, uint64_t size) {
  return make_int({.kind = Kind::kAllocate, .descriptor = descriptor}, [&](const FileCall&) {
    return ::fallocate(descriptor, 0, 0, static_cast<off_t>(size));
  });
}

int truncate(int descriptor, uint64_t size) {
  return make_int({.kind = Kind::kTruncate, .descriptor = descriptor}, [&](const FileCall&) {
    return ::ftruncate(descriptor, static_cast<off_t>(size));
  });
}

int sync_range(int descriptor, uint64_t offset, uint64_t size, unsigned flags) {
  return make_int({.kind = Kind::kStartSync, .descriptor = descriptor}, [&](const FileCall&) {
    return ::sync_file_range(descriptor, static_cast<off_t>(offset), static_cast<off_t>(size),
                             flags);
  });
}

int sync_data(int descriptor) {
  return make_int({.kind = Kind::kSync, .descriptor = descriptor},
                  [&](const FileCall&) { return ::fdatasync(descriptor); });
}

int sync_folder(int descriptor) {
  return make_int({.kind = Kind::kSync, .descriptor = descriptor},
                  [&](const FileCall&) { return ::fsync(descriptor); });
}

int sync_all(int descriptor) {
  return make_int({.kind = Kind::kSyncAll, .descriptor = descriptor},
                  [&](const FileCall&) { return ::syncfs(descriptor); });
}

int close(int descriptor) {
  FileCall call{.kind = Kind::kClose, .descriptor = descriptor};
  FileCallProbe* const probe = probe_now.load(std::memory_order_acquire);
  const int fate = probe == nullptr ? FileCallProbe::kMake : probe->before(call);
  const int closed = ::close(descriptor);
  int error = closed == 0 ? 0 : errno;
  if (fate > 0) error = fate;
  if (error == EINTR) error = 0;  // Linux has closed it: a second time it may be another file
  if (probe != nullptr) probe->after(call, error == 0 ? 0 : -1);
  errno = error;
  return error == 0 ? 0 : -1;
}

int rename_at(int from_folder, const char* from, int to_folder, const char* to, unsigned flags) {
  return make_int({.kind = Kind::kRename,
                   .descriptor = from_folder,
                   .path = from,
                   .flags = static_cast<int>(flags),
                   .other_descriptor = to_folder,
                   .other_path = to},
                  [&](const FileCall&) {
                    return flags == 0 ? ::renameat(from_folder, from, to_folder, to)
                                      : ::renameat2(from_folder, from, to_folder, to, flags);
                  });
}

int link_at(int from_folder, const char* from, int to_folder, const char* to) {
  return make_int({.kind = Kind::kLink,
                   .descriptor = from_folder,
                   .path = from,
                   .other_descriptor = to_folder,
                   .other_path = to},
                  [&](const FileCall&) { return ::linkat(from_folder, from, to_folder, to, 0); });
}

int make_link_at(const char* text, int folder, const char* path) {
  return make_int({.kind = Kind::kLink,
                   .descriptor = folder,
                   .path = text,
                   .other_descriptor = folder,
                   .other_path = path},
                  [&](const FileCall&) { return ::symlinkat(text, folder, path); });
}

int64_t read_link_at(int folder, const char* path, std::span<char> text) {
  return make(
      {.kind = Kind::kRead, .descriptor = folder, .path = path, .size = text.size()},
      [&](const FileCall& call) { return ::readlinkat(folder, path, text.data(), call.size); });
}

int unlink_at(int folder, const char* path, int flags) {
  return make_int({.kind = Kind::kUnlink, .descriptor = folder, .path = path, .flags = flags},
                  [&](const FileCall&) { return ::unlinkat(folder, path, flags); });
}

int lock(int descriptor, int operation) {
  return make_int({.kind = Kind::kLock, .descriptor = descriptor, .flags = operation},
                  [&](const FileCall&) { return ::flock(descriptor, operation); });
}

void* map(int descriptor, size_t size, int protection, int flags) {
  void* data = MAP_FAILED;
  make({.kind = Kind::kMap, .descriptor = descriptor, .flags = protection, .size = size},
       [&](const FileCall&) {
         data = ::mmap(nullptr, size, protection, flags, descriptor, 0);
         return data == MAP_FAILED ? -1 : 0;
       });
  return data;
}

}  // namespace file_calls
}  // namespace wshare
