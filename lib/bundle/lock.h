#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "util/descriptor.h"
#include "util/folder.h"
#include "util/interrupt.h"

namespace wshare {

// How long a command waits for another one that changes the same bundle.
inline constexpr std::chrono::milliseconds kDefaultWait{10000};

// In a bundle only while a command changes it, or after one was killed. Hidden, so that no manifest
// can name it.
inline constexpr char kLockName[] = ".wshare-lock";

// The right to change a bundle: one process at a time has it. The system takes it back when the
// process ends, however it ends.
class BundleLock {
 public:
  // Takes the lock of the bundle that `path` leads to for `command`; while another process has it,
  // tries again for `wait`.
  //
  // Throws Error(kIo) if there is no folder, it cannot be written to, or another process keeps the
  // lock: the message says which.
  BundleLock(const std::filesystem::path& path, const std::string& command,
             std::chrono::milliseconds wait);
  BundleLock(const BundleLock&) = delete;
  BundleLock& operator=(const BundleLock&) = delete;
  // Removes the lock file and lets go.
  ~BundleLock();

  // The folder that is locked.
  const std::shared_ptr<const Folder>& folder() const { return folder_; }

  // Throws Error(kIo) if the path leads to another folder by now, or the lock file is gone: then
  // others may have the lock of what is there.
  void check_held() const;

 private:
  bool try_lock();
  void write_holder(const std::string& command);
  bool remove() const;

  std::shared_ptr<const Folder> folder_;
  Descriptor file_;                  // with the lock
  std::optional<CleanUp> clean_up_;  // last, so that it goes first
};

}  // namespace wshare
