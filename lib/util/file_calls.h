#pragma once

#include <fcntl.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>

namespace wshare {

// One call to the file system, as a FileCallProbe sees it.
struct FileCall {
  enum class Kind {
    kOpen,
    kMakeFolder,
    kRead,
    kWrite,
    kAllocate,
    kTruncate,
    kStartSync,  // sync_file_range
    kSync,       // fdatasync, or fsync of a folder
    kSyncAll,    // syncfs
    kClose,
    kRename,
    kLink,
    kUnlink,
    kLock,
    kMap,
  };
  Kind kind;
  int descriptor;  // of the file, or of the folder in which `path` begins
  const char* path = "";
  int flags = 0;
  size_t size = 0;                  // of kRead, kWrite and kMap
  int other_descriptor = AT_FDCWD;  // where the new name of kRename and kLink begins
  const char* other_path = "";
};

// Sees every call before and after it is made, from any thread; for tests.
class FileCallProbe {
 public:
  static constexpr int kMake = 0, kPretend = -1;

  virtual ~FileCallProbe() = default;

  // Returns kMake, kPretend (do nothing and say that it is done), or the errno to fail with. May
  // make call.size smaller.
  virtual int before(FileCall& call) = 0;
  virtual void after(const FileCall& call, int64_t result) = 0;
};

// From now on `probe` (null: nobody) sees all calls; returns who has seen them so far.
FileCallProbe* watch_file_calls(FileCallProbe* probe);

// The calls by which files and folders are written, locked and mapped. Each is the system's call of
// that name: less than 0 is an error, which errno names. An interrupted call is made again here,
// and nowhere else.
namespace file_calls {

int open_at(int folder, const char* path, int flags, mode_t mode = 0);
int make_folder_at(int folder, const char* path, mode_t mode);
int64_t read_at(int descriptor, std::span<std::byte> bytes, uint64_t offset);

// Writes all of `bytes`, in as many calls as it takes.
int write_at(int descriptor, std::span<const std::byte> bytes, uint64_t offset);

// Reserves the space of [0, size); EOPNOTSUPP where the file system cannot. (posix_fallocate would
// write to every block there.)
int allocate(int descriptor, uint64_t size);
int truncate(int descriptor, uint64_t size);
int sync_range(int descriptor, uint64_t offset, uint64_t size, unsigned flags);
int sync_data(int descriptor);
int sync_folder(int descriptor);

// Syncs all of the file system that `descriptor` is on.
int sync_all(int descriptor);

// The descriptor is closed whatever this returns.
int close(int descriptor);

int rename_at(int from_folder, const char* from, int to_folder, const char* to, unsigned flags = 0);
int link_at(int from_folder, const char* from, int to_folder, const char* to);

// Makes `path` a symbolic link that holds `text`.
int make_link_at(const char* text, int folder, const char* path);

// Returns how many bytes of what the symbolic link `path` holds `text` now has.
int64_t read_link_at(int folder, const char* path, std::span<char> text);

int unlink_at(int folder, const char* path, int flags = 0);
int lock(int descriptor, int operation);  // flock

// Maps [0, size) of `descriptor`; MAP_FAILED is the error.
void* map(int descriptor, size_t size, int protection, int flags);

}  // namespace file_calls
}  // namespace wshare
