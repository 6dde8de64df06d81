#include "util/target_file.h"

#include <random>
#include <string_view>
#include <system_error>
#include <utility>

#include "util/text.h"
#include "wshare/error.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

// A name that no other process takes, not even one that writes the same file.
fs::path hidden_name_beside(const fs::path& path) {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz012345";
  constexpr size_t kLongestFront = 200;  // so that a file may have any name
  std::random_device random;
  std::string name = "." + path.filename().string().substr(0, kLongestFront) + ".wshare-";
  for (int i = 0; i < 8; ++i) name += kLetters[random() % kLetters.size()];
  return path.parent_path() / name;
}

}  // namespace

TargetFile::TargetFile(fs::path path, uint64_t size_bytes, bool force)
    : path_(std::move(path)), temporary_(hidden_name_beside(path_)) {
  std::error_code ignored;
  if (fs::is_directory(path_, ignored)) {
    throw Error(ErrorCode::kIo, in_quotes(path_.string()) + ": is a folder",
                "move it away, or write elsewhere");
  }
  if (!force && fs::exists(fs::symlink_status(path_, ignored))) {
    throw Error(ErrorCode::kIo, in_quotes(path_.string()) + ": exists already",
                "--force overwrites it");
  }
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
