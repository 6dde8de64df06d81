#pragma once

#include <filesystem>
#include <optional>

#include "util/descriptor.h"
#include "util/interrupt.h"
#include "util/output_file.h"

namespace wshare {

// Makes the folder `path`. Throws Error(kIo), also if there is something already.
void make_folder(const std::filesystem::path& path);

// True where an OutputFolder that replaces nothing can be put: nothing is there, or an empty
// folder.
bool is_free(const std::filesystem::path& path);

// A folder that appears at its place as a whole or not at all.
//
// Files are written under path(), a hidden folder beside the target, each made durable by its
// writer. commit() makes their names durable and moves the folder to the target in one step;
// without it the destructor removes everything, and so does a signal. What a killed process has
// left of an earlier folder for this target goes when the next one is made.
class OutputFolder {
 public:
  // Prepares `target`; what a symbolic link leads to, not the link. Its parent must exist. With
  // `replace`, a target that exists is replaced by commit(), else it must be missing or an empty
  // folder. Throws Error(kIo), also if it is a mount point.
  OutputFolder(std::filesystem::path target, bool replace);
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;
  ~OutputFolder();

  const std::filesystem::path& path() const { return path_; }

  // Throws Error(kIo); the target is then as it was.
  void commit();

  // After commit(): returns where lies what was replaced, and leaves it to the caller; empty if
  // there was nothing.
  std::filesystem::path release();

 private:
  std::filesystem::path target_;
  std::filesystem::path path_;
  bool replace_;
  Descriptor lock_;                  // of the hidden folder
  std::optional<CleanUp> clean_up_;  // last, so that it goes first
};

}  // namespace wshare
