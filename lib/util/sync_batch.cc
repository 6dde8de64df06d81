#include "util/sync_batch.h"

#include <cerrno>
#include <utility>

#include "util/durable.h"
#include "util/file_calls.h"
#include "util/output_errors.h"
#include "wshare/error.h"

namespace fs = std::filesystem;

namespace wshare {

SyncBatch::SyncBatch(int at, const std::string& name, fs::path shown_as)
    : path_(std::move(shown_as)),
      folder_(file_calls::open_at(at, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  if (folder_.number() < 0) fail_output(path_, "cannot open", errno);
}

SyncBatch::SyncBatch(const fs::path& folder) : SyncBatch(AT_FDCWD, folder.string(), folder) {}

void SyncBatch::add(OutputFile file) {
  constexpr size_t kMost = 32;  // more are hardly faster, and need descriptors
  file.start_finish();
  std::vector<OutputFile> full;
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(file));
    if (waiting_.size() < kMost) return;
    full.swap(waiting_);
  }
  sync(std::move(full));
}

void SyncBatch::finish() {
  const std::lock_guard lock(mutex_);
  sync(std::exchange(waiting_, {}));
}

void SyncBatch::sync(std::vector<OutputFile> files) const {
  const bool done = sync_together(files);
  for (OutputFile& file : files) done ? file.close_synced() : file.close();
}

bool SyncBatch::sync_together(std::vector<OutputFile>& files) const {
  uint64_t bytes = 0;
  for (const OutputFile& file : files) bytes += file.offset();
  try {
    return sync_all(folder_.number(), files.size(), bytes, path_);
  } catch (const Error&) {
    for (OutputFile& file : files) file.finish();  // names the file, if it is one of these
    throw;
  }
}

}  // namespace wshare
