#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "util/interrupt.h"
#include "util/output_folder.h"

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

  void keep();

 private:
  void remove_empty() const;

  std::vector<std::filesystem::path> made_;  // a folder stands after its parent
  CleanUp clean_up_;                         // last, so that it goes first
};

// A restored file: written under a temporary name beside its place, and renamed when complete;
// move-only. Without publish() nothing stays.
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

  // Puts the file at its place. Throws Error(kIo).
  void publish();

 private:
  std::filesystem::path path_;
  std::filesystem::path temporary_;
  std::unique_ptr<OutputFile> file_;  // none once published
  std::unique_ptr<CleanUp> clean_up_;
};

}  // namespace wshare
