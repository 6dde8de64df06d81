#pragma once

#include <filesystem>
#include <optional>

#include "util/descriptor.h"
#include "util/interrupt.h"

namespace wshare {

// Returns the folder for temporary files. Throws Error(kIo) if there is none.
std::filesystem::path folder_of_temporary_files();

// A folder beside other temporary files, for this user only; gone with the object or when a signal
// comes. What a killed process has left of such a folder goes when the next one is made.
struct TemporaryFolder {
  // Throws Error(kIo) if it cannot be made.
  TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder();

  std::filesystem::path path;
  Descriptor lock;
  std::optional<CleanUp> clean_up;
};

}  // namespace wshare
