#include "util/durable.h"

#include <cerrno>
#include <cstring>
#include <vector>

#include "util/descriptor.h"
#include "util/file_calls.h"
#include "util/text.h"
#include "wshare/error.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

[[noreturn]] void fail(const fs::path& path, const char* what, int error) {
  throw Error(ErrorCode::kIo, in_quotes(path.string()) + ": " + what + ": " + std::strerror(error));
}

}  // namespace

void sync_folder(int folder, const fs::path& shown_as) {
  if (file_calls::sync_folder(folder) == 0 || errno == EINVAL || errno == ENOTSUP) return;
  fail(shown_as, "cannot write to disk", errno);
}

void sync_folder(const fs::path& folder) {
  const Descriptor opened(
      file_calls::open_at(AT_FDCWD, folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (opened.number() < 0) fail(folder, "cannot open", errno);
  sync_folder(opened.number(), folder);
}

void sync_folder_after_commit(const fs::path& folder) {
  try {
    sync_folder(folder);
  } catch (const Error&) {
  }
}

void sync_folders(const fs::path& folder) {
  std::vector<fs::path> nested;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    if (at->is_directory(error) && !at->is_symlink(error)) nested.push_back(at->path());
  }
  if (error) fail(folder, "cannot list it", error.value());
  for (const fs::path& each : nested) sync_folders(each);
  sync_folder(folder);
}

}  // namespace wshare
