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
  throw Error(ErrorCode::kIo, in_quotes(path.parent_path().string()) +
                                  ": cannot be changed: " + what + ": " + std::strerror(error));
}

bool leads_to(const fs::path& path, int descriptor) {
  struct stat named {};
  struct stat opened {};
  return fstat(descriptor, &opened) == 0 && ::lstat(path.c_str(), &named) == 0 &&
         named.st_dev == opened.st_dev && named.st_ino == opened.st_ino;
}

std::vector<std::string> read_lines(const fs::path& path) {
  std::vector<std::string> lines;
  std::ifstream file(path, std::ios::binary);
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
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
  while ((descriptor_ = try_lock(path_)) < 0) {
    if (std::chrono::steady_clock::now() >= end) {
      const std::vector<std::string> lines = read_lines(path_);
      throw Error(ErrorCode::kIo,
                  in_quotes(folder.string()) + ": is being changed" +
                      (lines.empty() ? std::string() : " by " + in_quotes(lines[0])),
                  "try again when that is done, or let --wait SECONDS wait for it");
    }
    std::this_thread::sleep_for(kRetry);
  }
  left_over_ = announced_files(folder);
  // What is left over stays announced until it is gone.
  announce(left_over_);
}

BundleLock::~BundleLock() {
  // Compacting puts another folder in the place of the locked one: what lies there is not ours.
  if (leads_to(path_, descriptor_)) ::unlink(path_.c_str());
  ::close(descriptor_);
}

void BundleLock::announce(const std::vector<std::string>& files) {
  std::string text = holder_ + '\n';
  for (const std::string& file : files) text += file + '\n';
  // Only the end matters to a reader: a torn line is no name of a file that this process made.
  if (ftruncate(descriptor_, 0) != 0 ||
      pwrite(descriptor_, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
    const int error = errno;
    throw Error(ErrorCode::kIo,
                in_quotes(path_.string()) + ": cannot write: " + std::strerror(error));
  }
}

std::vector<std::string> announced_files(const fs::path& folder) {
  std::vector<std::string> names = read_lines(folder / kLockName);
  if (!names.empty()) names.erase(names.begin());
  // The file may be anyone's: it can name files directly in the bundle only.
  std::erase_if(names, [](const std::string& name) { return !is_file_name(name); });
  return names;
}

}  // namespace wshare
