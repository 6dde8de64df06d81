#pragma once

#include <cstddef>
#include <filesystem>
#include <mutex>
#include <string>
#include <vector>

#include "util/descriptor.h"
#include "util/output_file.h"

namespace wshare {

// Makes many new files durable in batches, so that a disk is waited for once and not for each file:
//
//   file written ─ its transfer starts ─ up to 32 wait, open ─ sync_all(), or each of them ─ closed
//
// What sync_all() asks of a descriptor, that it was opened before the files were written, is done
// here. The files stay open because that is the only way to sync them one by one after all.
class SyncBatch {
 public:
  // For files that will be made in or below the folder `name` of the open folder `at`, which
  // messages call `shown_as`. Throws Error(kIo) if it cannot be opened.
  SyncBatch(int at, const std::string& name, std::filesystem::path shown_as);
  explicit SyncBatch(const std::filesystem::path& folder);

  // Takes `file`, which is written wholly. From any thread. Throws Error(kIo), perhaps for a file
  // that was added before.
  void add(OutputFile file);

  // Makes all durable that was added. Throws Error(kIo).
  void finish();

 private:
  void sync(std::vector<OutputFile> files) const;
  bool sync_together(std::vector<OutputFile>& files) const;

  size_t most_;  // that may wait
  std::filesystem::path path_;
  Descriptor folder_;
  std::mutex mutex_;
  std::vector<OutputFile> waiting_;
};

}  // namespace wshare
