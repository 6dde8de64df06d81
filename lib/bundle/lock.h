#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "util/interrupt.h"

namespace wshare {

// In a bundle only while a command changes it, or after one was killed. Hidden, so that no manifest
// can name it.
inline constexpr char kLockName[] = ".wshare-lock";

// The right to change a bundle: one process at a time has it. The system takes it back when the
// process ends, however it ends.
//
// The lock file also says which files the holder makes or deletes, so that the next one can tidy up
// after one that was killed.
class BundleLock {
 public:
  // Takes the lock of the bundle in `folder` for `command`; while another process has it, tries
  // again for `wait`.
  //
  // Throws Error(kIo) if the folder cannot be written to, or another process keeps the lock: the
  // message says which.
  BundleLock(const std::filesystem::path& folder, const std::string& command,
             std::chrono::milliseconds wait);
  BundleLock(const BundleLock&) = delete;
  BundleLock& operator=(const BundleLock&) = delete;
  // Removes the lock file and lets go.
  ~BundleLock();

  // Names of files that an earlier holder was about to make or delete when it was killed.
  const std::vector<std::string>& left_over() const { return left_over_; }

  // Says that nothing is left over any more.
  void forget_left_over();

  // Writes `files` down for whoever comes after a holder that is killed. Throws Error(kIo).
  void announce(const std::vector<std::string>& files);

 private:
  void write_end(const std::string& text);
  bool remove() const;

  std::filesystem::path path_;
  struct Descriptor {  // closes, also when the constructor throws
    int number = -1;
    ~Descriptor();
  } descriptor_;
  std::string holder_;
  std::vector<std::string> left_over_;
  std::optional<CleanUp> clean_up_;  // last, so that it goes first
};

// Returns what the lock file in `folder` announces; nothing without one.
std::vector<std::string> announced_files(const std::filesystem::path& folder);

}  // namespace wshare
