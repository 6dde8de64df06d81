#include "util/temporary_folder.h"

#include <stdlib.h>

#include <string>
#include <system_error>

#include "util/output_folder.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {

TemporaryFolder::TemporaryFolder() {
  std::string name = (std::filesystem::temp_directory_path() / "wshare-XXXXXX").string();
  const Unstoppable making;
  if (::mkdtemp(name.data()) == nullptr) {
    throw Error(ErrorCode::kIo, in_quotes(name) + ": cannot make a temporary folder",
                "TMPDIR says where it goes");
  }
  path = name;
  clean_up.emplace([this] { return remove_folder(path); });
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path, ignored);
}

}  // namespace wshare
