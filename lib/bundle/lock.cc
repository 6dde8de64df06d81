#include "bundle/lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <thread>

#include "util/paths.h"
#include "util/text.h"
#include "wshare/error.h"

// Problem: a lock file that exists says nothing once its writer was killed.
//
// So the lock is flock() on the file, which ends with the process; whether the file exists does not
// matter. Its holder removes it, so a process that has opened it may get the lock of a file that is
// gone: it has the lock of the bundle only if the name still leads to the file that it locked.
// (`remove --compact` exchanges the folder: the name then leads to another file, or nowhere.)

namespace fs = std::filesystem;

namespace wshare {
namespace {

constexpr std::chrono::milliseconds kRetry{20};

[[noreturn]] void fail(const fs::path& path, const std::string& what, int error) {
  const bool forbidden = error == EACCES || error == EPERM || error == EROFS;
  throw Error(ErrorCode::kIo,
              in_quotes(path.parent_path().string()) + ": cannot be changed: " + what + ": " +
                  std::strerror(error),
              forbidden ? "copy the bundle to where you may write; --dry-run only reads" : "");
}

bool leads_to(const fs::path& path, int descriptor) {
  struct stat named {};
  struct stat opened {};
  return fstat(descriptor, &opened) == 0 && ::lstat(path.c_str(), &named) == 0 &&
         named.st_dev == opened.st_dev && named.st_ino == opened.st_ino;
}

// What a lock file says. Lines are only ever added to it, so that a writer that is killed loses
// none; one without its line feed was not written to the end and does not count.
struct Journal {
  std::string holder;
  std::vector<std::string> files;
  uint64_t size = 0;  // of complete lines
};

constexpr std::string_view kBy = "by ";
constexpr std::string_view kFile = "file ";

Journal read_journal(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  Journal journal;
  for (std::string line; std::getline(file, line) && !file.eof();) {
    journal.size += line.size() + 1;
    if (line.starts_with(kBy)) journal.holder = line.substr(kBy.size());
    if (!line.starts_with(kFile)) continue;
    // The file may be anyone's: it can name files directly in the bundle only.
    std::string name = line.substr(kFile.size());
    if (is_file_name(name)) journal.files.push_back(std::move(name));
  }
  return journal;
}

// Returns a descriptor with the lock, or -1 if another process has it.
int try_lock(const fs::path& path) {
  for (;;) {
    const int descriptor =
        ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
    if (descriptor < 0) fail(path, "cannot make " + std::string(kLockName), errno);
    if (flock(descriptor, LOCK_EX | LOCK_NB) == 0) {
      if (leads_to(path, descriptor)) return descriptor;
      ::close(descriptor);
      continue;  // its holder has removed it
    }
    const int error = errno;
    ::close(descriptor);
    if (error == EWOULDBLOCK) return -1;
    if (error != EINTR) fail(path, "cannot lock " + std::string(kLockName), error);
  }
}

}  // namespace

BundleLock::BundleLock(const fs::path& folder, const std::string& command,
                       std::chrono::milliseconds wait)
    : path_(folder / kLockName),
      holder_("wshare " + command + ", process " + std::to_string(::getpid())) {
  const auto end = std::chrono::steady_clock::now() + wait;
  for (;;) {
    {
      const Unstoppable making;
      if ((descriptor_.number = try_lock(path_)) >= 0) {
        clean_up_.emplace([this] { return remove(); });
        break;
      }
    }
    if (std::chrono::steady_clock::now() >= end) {
      const std::string holder = read_journal(path_).holder;
      throw Error(ErrorCode::kIo,
                  in_quotes(folder.string()) + ": is being changed" +
                      (holder.empty() ? std::string() : " by " + in_quotes(holder)),
                  "try again when that is done, or let --wait SECONDS wait for it");
    }
    std::this_thread::sleep_for(kRetry);
  }
  Journal journal = read_journal(path_);
  if (ftruncate(descriptor_.number, static_cast<off_t>(journal.size)) != 0) {
    fail(path_, "cannot write to " + std::string(kLockName), errno);
  }
  left_over_ = std::move(journal.files);
  write_end(std::string(kBy) + holder_ + '\n');
}

BundleLock::Descriptor::~Descriptor() {
  if (number >= 0) ::close(number);
}

BundleLock::~BundleLock() { remove(); }

bool BundleLock::remove() const {
  // Compacting puts another folder in the place of the locked one: what lies there is not ours.
  return !leads_to(path_, descriptor_.number) || ::unlink(path_.c_str()) == 0;
}

void BundleLock::forget_left_over() {
  if (ftruncate(descriptor_.number, 0) == 0) write_end(std::string(kBy) + holder_ + '\n');
}

void BundleLock::announce(const std::vector<std::string>& files) {
  std::string text;
  for (const std::string& file : files) text += std::string(kFile) + file + '\n';
  if (!text.empty()) write_end(text);
}

void BundleLock::write_end(const std::string& text) {
  const off_t end = lseek(descriptor_.number, 0, SEEK_END);
  const ssize_t done = end < 0 ? -1 : ::write(descriptor_.number, text.data(), text.size());
  if (done == static_cast<ssize_t>(text.size())) return;
  fail(path_, "cannot write to " + std::string(kLockName), done < 0 ? errno : ENOSPC);
}

std::vector<std::string> announced_files(const fs::path& folder) {
  return read_journal(folder / kLockName).files;
}

}  // namespace wshare
