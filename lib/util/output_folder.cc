#include "util/output_folder.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "util/durable.h"
#include "util/file_calls.h"
#include "util/left_over.h"
#include "util/output_errors.h"
#include "util/text.h"
#include "wshare/error.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

// Such as the volume of a container: no folder can take its place. False where the system does not
// say.
bool is_mount_point(const fs::path& folder) {
  struct statx facts {};
  return statx(AT_FDCWD, folder.c_str(), AT_SYMLINK_NOFOLLOW, STATX_TYPE, &facts) == 0 &&
         (facts.stx_attributes & facts.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) != 0;
}

fs::path parent_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

// Without a slash at the end, and where a link leads to a folder, that folder.
fs::path real_target(fs::path target) {
  if (!target.has_filename()) target = target.parent_path();
  std::error_code error;
  if (!fs::is_symlink(target, error) || !fs::is_directory(target, error)) return target;
  fs::path real = fs::canonical(target, error);
  return error ? target : real;
}

}  // namespace

void make_folder(const fs::path& path) {
  if (file_calls::make_folder_at(AT_FDCWD, path.c_str(), 0777) != 0)
    fail_output(path, "cannot make this folder", errno);
}

bool is_free(const fs::path& path) {
  std::error_code none;
  return !fs::exists(fs::symlink_status(path, none)) ||
         (fs::is_directory(path, none) && fs::is_empty(path, none));
}

OutputFolder::OutputFolder(fs::path target, bool replace)
    : target_(real_target(std::move(target))), replace_(replace) {
  if (is_mount_point(target_)) {
    throw Error(ErrorCode::kIo,
                in_quotes(target_.string()) +
                    ": is a mount point, and the result, which appears as a whole, cannot take its "
                    "place",
                "name a folder in it: " + in_quotes((target_ / "bundle").string()));
  }
  const std::string name = target_.filename().string();
  clear_left_over(parent_of(target_), name);
  const Unstoppable making;
  lock_ = make_hidden_folder(parent_of(target_), name, 0777, path_);
  clean_up_.emplace([this] { return path_.empty() || remove_folder(path_); });
}

OutputFolder::~OutputFolder() {
  if (!path_.empty()) remove_folder(path_);
}

fs::path OutputFolder::release() { return std::exchange(path_, fs::path()); }

void OutputFolder::commit() {
  sync_folders(path_);
  const Unstoppable moving;
  std::error_code ignored;
  const bool occupied = fs::exists(target_, ignored) &&
                        !(fs::is_directory(target_, ignored) && fs::is_empty(target_, ignored));
  if (!occupied || !replace_) {
    if (file_calls::rename_at(AT_FDCWD, path_.c_str(), AT_FDCWD, target_.c_str()) != 0)
      fail_output(target_, "cannot put the result there", errno);
    path_.clear();
  } else if (file_calls::rename_at(AT_FDCWD, path_.c_str(), AT_FDCWD, target_.c_str(),
                                   RENAME_EXCHANGE) != 0) {
    throw Error(ErrorCode::kIo,
                in_quotes(target_.string()) + ": cannot replace it: " + std::strerror(errno),
                "not every file system can exchange two folders: move the old one away first");
  }
  // After an exchange path_ names the old folder, which the destructor removes.
  sync_folder_after_commit(parent_of(target_));
}

}  // namespace wshare
