#pragma once

#include <filesystem>
#include <vector>

#include "util/interrupt.h"

namespace wshare {

// The folders that a restore has made; those still empty go again unless keep() was called.
class MadeFolders {
 public:
  MadeFolders();
  MadeFolders(const MadeFolders&) = delete;
  MadeFolders& operator=(const MadeFolders&) = delete;
  ~MadeFolders();

  // Makes `folder` and what is missing above it. Throws Error(kIo).
  void make(const std::filesystem::path& folder);

  // Makes the names of the folders durable. Throws Error(kIo).
  void sync() const;

  void keep();

 private:
  void remove_empty() const;

  std::vector<std::filesystem::path> made_;  // a folder stands after its parent
  CleanUp clean_up_;                         // last, so that it goes first
};

}  // namespace wshare
