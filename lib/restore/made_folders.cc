#include "restore/made_folders.h"

#include <system_error>

#include "util/text.h"
#include "wshare/error.h"

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
  std::error_code ignored;
  // rmdir, so that a folder that holds anything stays.
  for (size_t i = made_.size(); i-- > 0;) fs::remove(made_[i], ignored);
}

void MadeFolders::make(const fs::path& folder) {
  std::error_code error;
  if (folder.empty() || fs::is_directory(folder, error)) return;
  // "a/b/" and "a/b" are one folder.
  const fs::path named = folder.has_filename() ? folder : folder.parent_path();
  make(named.parent_path());
  const Unstoppable making;
  if (fs::create_directory(named, error)) {
    made_.push_back(named);
  } else if (error) {
    throw Error(ErrorCode::kIo,
                in_quotes(folder.string()) + ": cannot make this folder: " + error.message());
  }
}

}  // namespace wshare
