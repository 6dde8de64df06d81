#include "util/temporary_folder.h"

#include <stdlib.h>

#include <string>
#include <system_error>

#include "util/text.h"
#include "wshare/error.h"

namespace wshare {

TemporaryFolder::TemporaryFolder() {
  std::string name = (std::filesystem::temp_directory_path() / "wshare-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) {
    throw Error(ErrorCode::kIo, in_quotes(name) + ": cannot make a temporary folder",
                "TMPDIR says where it goes");
  }
  path = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path, ignored);
}

}  // namespace wshare
