#pragma once

#include <filesystem>
#include <optional>

#include "util/interrupt.h"

namespace wshare {

// A folder beside other temporary files; gone with the object or when a signal comes.
struct TemporaryFolder {
  // Throws Error(kIo) if it cannot be made.
  TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder();

  std::filesystem::path path;
  std::optional<CleanUp> clean_up;
};

}  // namespace wshare
