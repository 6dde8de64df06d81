#include "util/folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include "util/file_calls.h"
#include "util/text.h"
#include "wshare/error.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

FileId id_of(const struct stat& status) { return {status.st_dev, status.st_ino}; }

[[noreturn]] void fail(const fs::path& path, int error) {
  throw Error(ErrorCode::kIo, in_quotes(path.string()) + ": " + std::strerror(error));
}

FileStamp stamp_from(const struct stat& status) {
  return {id_of(status), static_cast<uint64_t>(status.st_size),
          int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec,
          S_ISREG(status.st_mode), S_ISDIR(status.st_mode)};
}

std::optional<FileStamp> look_up_in(int folder, const std::string& name, const fs::path& path) {
  struct stat status {};
  if (fstatat(folder, name.c_str(), &status, 0) == 0) return stamp_from(status);
  if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
  fail(path, errno);
}

}  // namespace

std::optional<FileStamp> look_up(const fs::path& path) {
  return look_up_in(AT_FDCWD, path.string(), path);
}

FileStamp stamp_of(int descriptor, const fs::path& path) {
  struct stat status {};
  if (fstat(descriptor, &status) != 0) fail(path, errno);
  return stamp_from(status);
}

std::optional<FileId> id_at(int folder, const std::string& name) {
  struct stat status {};
  if (fstatat(folder, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) return std::nullopt;
  return id_of(status);
}

bool leads_to(int folder, const std::string& name, int descriptor) {
  struct stat opened {};
  return fstat(descriptor, &opened) == 0 && id_at(folder, name) == id_of(opened);
}

Listing list_folder(int folder) {
  const int again = file_calls::open_at(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (again < 0) return {{}, errno};
  DIR* const entries = fdopendir(again);
  if (entries == nullptr) {
    const int error = errno;
    file_calls::close(again);
    return {{}, error};
  }
  Listing listing;
  errno = 0;
  while (const dirent* const entry = readdir(entries)) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") listing.names.emplace_back(name);
  }
  listing.error = errno;
  closedir(entries);
  return listing;
}

Folder::Folder(fs::path path, int descriptor) : path_(std::move(path)), descriptor_(descriptor) {
  id_ = stamp_of(descriptor_, path_).id;
}

Folder::~Folder() { ::close(descriptor_); }

std::shared_ptr<const Folder> Folder::open(const fs::path& path) {
  const int descriptor = ::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) fail(path, errno);
  return std::shared_ptr<const Folder>(new Folder(path, descriptor));
}

bool Folder::is_at_path() const {
  struct stat status {};
  return stat(path_.c_str(), &status) == 0 && id_of(status) == id_;
}

fs::path Folder::path_of(const std::string& name) const {
  const fs::path link = "/proc/self/fd/" + std::to_string(descriptor_);
  struct stat status {};
  const bool leads_here = stat(link.c_str(), &status) == 0 && id_of(status) == id_;
  return (leads_here ? link : path_) / name;
}

std::optional<FileStamp> Folder::look_up(const std::string& name) const {
  return look_up_in(descriptor_, name, path_ / name);
}

}  // namespace wshare
