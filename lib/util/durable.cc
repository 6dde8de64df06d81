#include "util/durable.h"

#include <linux/magic.h>
#include <sys/utsname.h>
#include <sys/vfs.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "util/descriptor.h"
#include "util/file_calls.h"
#include "util/memory.h"
#include "util/text.h"
#include "wshare/error.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

[[noreturn]] void fail(const fs::path& path, const char* what, int error) {
  throw Error(ErrorCode::kIo, in_quotes(path.string()) + ": " + what + ": " + std::strerror(error));
}

// True if syncfs tells of every error on the file system of `folder`.
bool tells_errors(int folder) {
  constexpr auto kXfs = 0x58465342;
  struct statfs facts {};
  utsname system{};
  int major = 0, minor = 0;
  return ::fstatfs(folder, &facts) == 0 && ::uname(&system) == 0 &&
         std::sscanf(system.release, "%d.%d", &major, &minor) == 2 &&
         std::pair(major, minor) >= std::pair(5, 17) &&
         (facts.f_type == EXT4_SUPER_MAGIC || facts.f_type == kXfs ||
          facts.f_type == BTRFS_SUPER_MAGIC);
}

void list_folders(const fs::path& folder, std::vector<fs::path>& folders) {
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    if (at->is_directory(error) && !at->is_symlink(error)) list_folders(at->path(), folders);
  }
  if (error) fail(folder, "cannot list it", error.value());
  folders.push_back(folder);
}

}  // namespace

bool sync_all(int folder, size_t count, uint64_t bytes, const fs::path& shown_as) {
  constexpr size_t kFew = 3;
  constexpr uint64_t kBytesInASync = uint64_t{2} << 20;  // that a disk writes meanwhile
  if (count <= kFew || !tells_errors(folder)) return false;
  if (unwritten_bytes() > bytes + count * kBytesInASync) return false;
  if (file_calls::sync_all(folder) == 0) return true;
  const int error = errno;
  if (error == ENOSYS || error == EPERM) return false;  // who forbids it says so
  throw Error(ErrorCode::kIo,
              in_quotes(shown_as.string()) + ": cannot write to disk: " + std::strerror(error),
              "it may have been a file of another program: try again");
}

void sync_folder(int folder, const fs::path& shown_as) {
  if (file_calls::sync_folder(folder) == 0 || errno == EINVAL || errno == ENOTSUP) return;
  fail(shown_as, "cannot write to disk", errno);
}

void sync_folder(const fs::path& folder) {
  const Descriptor opened(
      file_calls::open_at(AT_FDCWD, folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (opened.number() < 0) fail(folder, "cannot open", errno);
  sync_folder(opened.number(), folder);
}

void sync_folder_after_commit(const fs::path& folder) {
  try {
    sync_folder(folder);
  } catch (const Error&) {
  }
}

void sync_folders(const fs::path& folder) {
  std::vector<fs::path> folders;
  list_folders(folder, folders);
  const Descriptor opened(
      file_calls::open_at(AT_FDCWD, folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (opened.number() < 0) fail(folder, "cannot open", errno);
  if (sync_all(opened.number(), folders.size(), 0, folder)) return;
  folders.pop_back();
  for (const fs::path& each : folders) sync_folder(each);
  sync_folder(opened.number(), folder);
}

}  // namespace wshare
