#pragma once

#include <filesystem>
#include <memory>

#include "util/interrupt.h"
#include "util/output_file.h"

namespace wshare {

// A file that appears at its place as a whole or not at all: it is written under a hidden name
// beside it, and renamed when complete; move-only. Without publish() nothing stays, nor after a
// signal; what a killed process has left goes with the next file for that place.
class TargetFile {
 public:
  // Prepares `path`, whose folder exists, for `size_bytes` bytes (0: not known).
  //
  // Throws Error(kIo) if something is there already (without `force`) or is a folder, or if the
  // temporary file cannot be made.
  TargetFile(std::filesystem::path path, uint64_t size_bytes, bool force);
  TargetFile(TargetFile&&) noexcept = default;
  ~TargetFile();

  OutputFile& file() { return *file_; }

  // Makes the file durable and puts it at its place. Throws Error(kIo).
  void publish();

  // The same, but the caller makes its name durable, with that of others.
  void place();

 private:
  std::filesystem::path path_;
  std::filesystem::path temporary_;
  std::unique_ptr<OutputFile> file_;  // none once published
  std::unique_ptr<CleanUp> clean_up_;
};

}  // namespace wshare
