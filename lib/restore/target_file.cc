#include "restore/target_file.h"

#include <system_error>
#include <utility>

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

TargetFile::TargetFile(fs::path path, uint64_t size_bytes, bool force)
    : path_(std::move(path)), temporary_(path_) {
  std::error_code ignored;
  if (fs::is_directory(path_, ignored)) {
    throw Error(ErrorCode::kIo, in_quotes(path_.string()) + ": is a folder");
  }
  if (!force && fs::exists(fs::symlink_status(path_, ignored))) {
    throw Error(ErrorCode::kIo, in_quotes(path_.string()) + ": exists already",
                "--force overwrites it");
  }
  temporary_ += ".wshare-part";
  fs::remove(temporary_, ignored);
  clean_up_ = std::make_unique<CleanUp>([temporary = temporary_] {
    std::error_code error;
    fs::remove(temporary, error);
    return !error;
  });
  try {
    file_ = std::make_unique<OutputFile>(temporary_, size_bytes);
  } catch (const Error&) {
    fs::remove(temporary_, ignored);  // made, but there is no room for it
    throw;
  }
}

TargetFile::~TargetFile() {
  std::error_code ignored;
  if (file_ != nullptr) fs::remove(temporary_, ignored);
}

void TargetFile::publish() {
  file_->close();
  std::error_code error;
  fs::rename(temporary_, path_, error);
  if (error) {
    throw Error(ErrorCode::kIo,
                in_quotes(path_.string()) + ": cannot put it there: " + error.message());
  }
  file_ = nullptr;
}

}  // namespace wshare
