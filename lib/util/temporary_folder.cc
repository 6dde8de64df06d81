#include "util/temporary_folder.h"

#include <string>
#include <system_error>

#include "util/left_over.h"
#include "wshare/error.h"

namespace wshare {

std::filesystem::path folder_of_temporary_files() {
  std::error_code error;
  std::filesystem::path folder = std::filesystem::temp_directory_path(error);
  if (!error) return folder;
  throw Error(ErrorCode::kIo, "no folder for temporary files: " + error.message(),
              "set TMPDIR to one that exists");
}

TemporaryFolder::TemporaryFolder() {
  constexpr char kName[] = "wshare";
  const std::filesystem::path folder = folder_of_temporary_files();
  clear_left_over(folder, kName);
  const Unstoppable making;
  try {
    lock = make_hidden_folder(folder, kName, 0700, path);
  } catch (const Error& error) {
    throw Error(error.code(), error.what(), "TMPDIR says where temporary files go");
  }
  clean_up.emplace([this] { return remove_folder(path); });
}

TemporaryFolder::~TemporaryFolder() { remove_folder(path); }

}  // namespace wshare
