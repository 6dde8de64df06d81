#include "util/sync_batch.h"

#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "util/durable.h"
#include "util/file_calls.h"
#include "util/output_errors.h"
#include "wshare/error.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

// How many files may wait: more than 32 are hardly faster, and all but few of the descriptors that
// the process may have stay free. (One batch may be synced while the next one fills up.)
size_t most_waiting() {
  struct rlimit limit {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1;
  return std::clamp<size_t>(limit.rlim_cur / 8, 1, 32);
}

}  // namespace

SyncBatch::SyncBatch(int at, const std::string& name, fs::path shown_as)
    : most_(most_waiting()),
      path_(std::move(shown_as)),
      folder_(file_calls::open_at(at, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  if (folder_.number() < 0) fail_output(path_, "cannot open", errno);
}

SyncBatch::SyncBatch(const fs::path& folder) : SyncBatch(AT_FDCWD, folder.string(), folder) {}

void SyncBatch::add(OutputFile file) {
  file.start_finish();
  std::vector<OutputFile> full;
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(file));
    if (waiting_.size() < most_) return;
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
