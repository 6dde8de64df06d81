#include "bundle/replace_bundle.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>

#include <cerrno>

#include "bundle/edit.h"
#include "bundle/staging.h"
#include "format/is_bundle.h"
#include "format/manifest/text.h"
#include "util/descriptor.h"
#include "util/file_calls.h"
#include "util/folder.h"
#include "util/interrupt.h"
#include "wshare/error.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

constexpr char kMoveAway[] = "move it away first: the folder is replaced as a whole";

// Where a link leads to is replaced, not the link.
fs::path resolved(const fs::path& target) {
  std::error_code none;
  const fs::path path = fs::canonical(target, none);
  return none ? target : path;
}

bool remove_empty(const fs::path& folder) {
  return file_calls::unlink_at(AT_FDCWD, folder.c_str(), AT_REMOVEDIR) == 0 ||
         file_calls::unlink_at(AT_FDCWD, folder.c_str(), AT_REMOVEDIR) == 0;
}

// Gives `folder` a name beside `target` that shows, and returns it.
fs::path keep_beside(const fs::path& folder, const fs::path& target) {
  for (int number = 1;; ++number) {
    fs::path name = target;
    name += number == 1 ? "-kept" : "-kept-" + std::to_string(number);
    if (file_calls::rename_at(AT_FDCWD, folder.c_str(), AT_FDCWD, name.c_str(), RENAME_NOREPLACE) ==
        0) {
      return name;
    }
    if (errno != EEXIST) return folder;
  }
}

// Deletes the files of the bundle that was at `target` and is at `old` now, and moves what else is
// there to the one that is at `target`. Returns where the rest lies, if there is any.
fs::path dispose(const fs::path& old, const Manifest& before, const fs::path& target) {
  const std::shared_ptr<const Folder> from = Folder::open(old), to = Folder::open(target);
  const auto remove = [&](const std::string& name) {
    if (file_calls::unlink_at(from->descriptor(), name.c_str()) != 0)  // once more
      file_calls::unlink_at(from->descriptor(), name.c_str());
  };
  clear_stagings(*from, before);
  for (const BundleFile& file : files_of(before)) remove(file.name);
  remove(kManifestName);
  remove(kLockName);  // last: who waits for it then looks for the new bundle
  if (remove_empty(old)) return {};
  std::error_code none;
  for (const fs::directory_entry& entry : fs::directory_iterator(old, none)) {
    const std::string name = entry.path().filename().string();
    file_calls::rename_at(from->descriptor(), name.c_str(), to->descriptor(), name.c_str(),
                          RENAME_NOREPLACE);
  }
  return remove_empty(old) ? fs::path() : keep_beside(old, target);
}

}  // namespace

std::string replace_bundle(const BundleLock& lock, const Manifest& before, OutputFolder& output) {
  const fs::path target = lock.folder()->path();
  check_only_bundle(target, before, kMoveAway);
  // Under its hidden name nobody may take the old folder for one that a killed command has left.
  const Descriptor held(
      file_calls::open_at(lock.folder()->descriptor(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (held.number() >= 0) file_calls::lock(held.number(), LOCK_EX | LOCK_NB);
  const Unstoppable replacing;
  lock.check_held();
  output.commit();
  const fs::path old = output.release();
  try {
    return old.empty() ? "" : dispose(old, before, target).string();
  } catch (const Error&) {
    return old.string();  // the new bundle is in its place: that is no failure
  }
}

NewBundle::NewBundle(const fs::path& target, bool replace, const std::string& command,
                     std::chrono::milliseconds wait)
    : target_(resolved(target)) {
  if (!replace || !is_bundle(target_)) return;
  lock_.emplace(target_, command, wait);
  before_ = load_manifest(lock_->folder());
}

const fs::path& NewBundle::path() {
  if (!output_) output_.emplace(target_, lock_.has_value());
  return output_->path();
}

std::string NewBundle::commit() {
  if (lock_) return replace_bundle(*lock_, *before_, output_.value());
  output_.value().commit();
  return "";
}

}  // namespace wshare
