#pragma once

#include <filesystem>

namespace wshare {

// A folder beside other temporary files; gone with the object.
struct TemporaryFolder {
  // Throws Error(kIo) if it cannot be made.
  TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder();

  std::filesystem::path path;
};

}  // namespace wshare
