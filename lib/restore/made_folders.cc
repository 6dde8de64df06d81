#include "restore/made_folders.h"

#include <cerrno>
#include <system_error>

#include "util/durable.h"
#include "util/file_calls.h"
#include "util/output_errors.h"

namespace fs = std::filesystem;

namespace wshare {

MadeFolders::MadeFolders()
    : clean_up_([this] {
        remove_empty();
        return true;
      }) {}

MadeFolders::~MadeFolders() { remove_empty(); }

void MadeFolders::keep() {
  const Unstoppable keeping;
  made_.clear();
}

void MadeFolders::remove_empty() const {
  // A folder that holds anything stays.
  for (size_t i = made_.size(); i-- > 0;)
    file_calls::unlink_at(AT_FDCWD, made_[i].c_str(), AT_REMOVEDIR);
}

void MadeFolders::make(const fs::path& folder) {
  std::error_code error;
  if (folder.empty() || fs::is_directory(folder, error)) return;
  // "a/b/" and "a/b" are one folder.
  const fs::path named = folder.has_filename() ? folder : folder.parent_path();
  make(named.parent_path());
  const Unstoppable making;
  if (file_calls::make_folder_at(AT_FDCWD, named.c_str(), 0777) == 0) {
    made_.push_back(named);
  } else if (const int failed = errno; failed != EEXIST || !fs::is_directory(named, error)) {
    fail_output(folder, "cannot make this folder", failed);
  }
}

void MadeFolders::sync() const {
  for (const fs::path& folder : made_)
    sync_folder(folder.has_parent_path() ? folder.parent_path() : fs::path("."));
}

}  // namespace wshare
