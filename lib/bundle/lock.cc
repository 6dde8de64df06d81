#include "bundle/lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <span>
#include <string_view>
#include <thread>
#include <utility>

#include "util/file_calls.h"
#include "util/text.h"
#include "wshare/error.h"

// Problem: a lock file that exists says nothing once its writer was killed.
//
// So the lock is flock() on the file, which ends with the process; whether the file exists does not
// matter, and what stands in it is for messages only. Its holder removes it, so a process that has
// opened it may get the lock of a file that is gone: it has the lock of the bundle only if the name
// still leads to the file that it locked, and the path to the folder that it lies in. (`remove
// --compact` and `--force` exchange the folder.)

namespace fs = std::filesystem;

namespace wshare {
namespace {

constexpr std::chrono::milliseconds kRetry{20};

[[noreturn]] void fail(const fs::path& folder, const std::string& what, int error) {
  const bool forbidden = error == EACCES || error == EPERM || error == EROFS;
  throw Error(ErrorCode::kIo,
              in_quotes(folder.string()) + ": cannot be changed: " + what + " " + kLockName + ": " +
                  std::strerror(error),
              forbidden ? "copy the bundle to where you may write; --dry-run only reads" : "");
}

bool is_lock_of(const Folder& folder, int descriptor) {
  return leads_to(folder.descriptor(), kLockName, descriptor);
}

bool is_regular(int descriptor) {
  struct stat status {};
  return fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode);
}

constexpr std::string_view kBy = "by ";

// Who has the lock, as the lock file says: a line of printable characters, or "". Anyone may have
// written it.
std::string read_holder(const Folder& folder) {
  const Descriptor file(file_calls::open_at(folder.descriptor(), kLockName,
                                            O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (file.number() < 0 || !is_regular(file.number())) return "";
  std::array<char, 200> buffer{};
  const int64_t size =
      file_calls::read_at(file.number(), std::as_writable_bytes(std::span(buffer)), 0);
  const std::string_view text(buffer.data(), static_cast<size_t>(std::max<int64_t>(size, 0)));
  const size_t end = text.find('\n');
  if (end == std::string_view::npos || !text.starts_with(kBy)) return "";
  std::string holder(text.substr(kBy.size(), end - kBy.size()));
  const bool printable =
      std::all_of(holder.begin(), holder.end(), [](char c) { return c >= ' ' && c <= '~'; });
  return printable ? holder : "";
}

struct Opened {
  Descriptor file;      // -1: the folder is no longer at its path
  bool is_new = false;  // made by us: it goes if it cannot be locked
};

Opened open_lock_file(const Folder& folder) {
  constexpr int kFlags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
  for (;;) {
    Opened opened;
    opened.is_new = true;
    opened.file = Descriptor(
        file_calls::open_at(folder.descriptor(), kLockName, kFlags | O_CREAT | O_EXCL, 0666));
    if (opened.file.number() < 0 && errno == EEXIST) {
      opened.is_new = false;
      opened.file = Descriptor(file_calls::open_at(folder.descriptor(), kLockName, kFlags));
    }
    const int error = opened.file.number() < 0 ? errno : 0;
    if (error == ENOENT) {  // the file is gone again, or the folder
      if (!folder.is_at_path()) return {Descriptor(), false};
      if (!opened.is_new) continue;
    }
    if (error == 0 && is_regular(opened.file.number())) return opened;
    if (error != 0 && error != EISDIR && error != ENXIO && error != ELOOP)
      fail(folder.path(), "cannot make", error);
    throw Error(ErrorCode::kIo,
                in_quotes(folder.path().string()) + ": cannot be changed: its " + kLockName +
                    " is not a regular file",
                "that is no lock of wshare's: move it away");
  }
}

}  // namespace

// False if another process has the lock, or the folder went.
bool BundleLock::try_lock() {
  Opened opened = open_lock_file(*folder_);
  const int number = opened.file.number();
  if (number < 0) return false;
  if (file_calls::lock(number, LOCK_EX | LOCK_NB) == 0) {
    file_ = std::move(opened.file);
    return true;
  }
  const int error = errno;
  if (error == EWOULDBLOCK) return false;
  if (opened.is_new && is_lock_of(*folder_, number))
    file_calls::unlink_at(folder_->descriptor(), kLockName);
  fail(folder_->path(), "cannot lock", error);
}

BundleLock::BundleLock(const fs::path& path, const std::string& command,
                       std::chrono::milliseconds wait) {
  const auto end = std::chrono::steady_clock::now() + wait;
  for (;;) {
    folder_ = Folder::open(path);
    {
      const Unstoppable making;
      if (try_lock()) {
        clean_up_.emplace([this] { return remove(); });
        if (is_lock_of(*folder_, file_.number()) && folder_->is_at_path()) break;
        clean_up_.reset();  // its holder has removed it, or exchanged the folder
        remove();
        file_ = Descriptor();
        continue;
      }
    }
    if (std::chrono::steady_clock::now() >= end) {
      const std::string holder = read_holder(*folder_);
      throw Error(ErrorCode::kIo,
                  in_quotes(path.string()) + ": is being changed" +
                      (holder.empty() ? std::string() : " by " + in_quotes(holder)),
                  "try again when that is done, or let --wait SECONDS wait for it");
    }
    std::this_thread::sleep_for(kRetry);
  }
  write_holder(command);
}

BundleLock::~BundleLock() { remove(); }

bool BundleLock::remove() const {
  return !is_lock_of(*folder_, file_.number()) ||
         file_calls::unlink_at(folder_->descriptor(), kLockName) == 0 ||
         file_calls::unlink_at(folder_->descriptor(), kLockName) == 0 || errno == ENOENT;
}

void BundleLock::check_held() const {
  if (is_lock_of(*folder_, file_.number()) && folder_->is_at_path()) return;
  throw Error(
      ErrorCode::kIo,
      in_quotes(folder_->path().string()) + ": was moved or replaced while it was being changed",
      "run it again");
}

// Only for messages of others: a disk that is full is no reason to give up here.
void BundleLock::write_holder(const std::string& command) {
  const std::string text =
      std::string(kBy) + "wshare " + command + ", process " + std::to_string(::getpid()) + '\n';
  if (file_calls::truncate(file_.number(), 0) == 0)
    file_calls::write_at(file_.number(), std::as_bytes(std::span(text)), 0);
}

}  // namespace wshare
