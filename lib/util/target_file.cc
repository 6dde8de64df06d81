#include "util/target_file.h"

#include <sys/file.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "util/durable.h"
#include "util/file_calls.h"
#include "util/left_over.h"
#include "util/output_errors.h"
#include "util/text.h"
#include "wshare/error.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

fs::path folder_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

}  // namespace

TargetFile::TargetFile(fs::path path, uint64_t size_bytes, bool force)
    : path_(std::move(path)),
      temporary_(path_.parent_path() / hidden_name(path_.filename().string())) {
  std::error_code ignored;
  if (fs::is_directory(path_, ignored)) {
    throw Error(ErrorCode::kIo, in_quotes(path_.string()) + ": is a folder",
                "move it away, or write elsewhere");
  }
  if (!force && fs::exists(fs::symlink_status(path_, ignored))) {
    throw Error(ErrorCode::kIo, in_quotes(path_.string()) + ": exists already",
                "--force overwrites it");
  }
  clear_left_over(folder_of(path_), path_.filename().string());
  clean_up_ = std::make_unique<CleanUp>([temporary = temporary_] {
    return file_calls::unlink_at(AT_FDCWD, temporary.c_str()) == 0 || errno == ENOENT;
  });
  file_ = std::make_unique<OutputFile>(temporary_, size_bytes);
  file_calls::lock(file_->descriptor(), LOCK_EX | LOCK_NB);
}

TargetFile::~TargetFile() {
  if (file_ != nullptr) remove_folder(temporary_);
}

void TargetFile::place() {
  file_->finish();
  if (file_calls::rename_at(AT_FDCWD, temporary_.c_str(), AT_FDCWD, path_.c_str()) != 0)
    fail_output(path_, "cannot put it there", errno);
  file_ = nullptr;
}

void TargetFile::publish() {
  place();
  sync_folder_after_commit(folder_of(path_));
}

}  // namespace wshare
