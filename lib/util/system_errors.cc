#include "util/system_errors.h"

#include <filesystem>
#include <string>

#include "util/text.h"
#include "wshare/error.h"

namespace wshare {

void throw_as_error(const std::system_error& error) {
  std::string subject;
  if (const auto* const of_path = dynamic_cast<const std::filesystem::filesystem_error*>(&error);
      of_path != nullptr && !of_path->path1().empty()) {
    subject = in_quotes(of_path->path1().string()) + ": ";
  }
  throw Error(ErrorCode::kIo, subject + error.code().message());
}

}  // namespace wshare
