#include "util/output_errors.h"

#include <cerrno>
#include <cstring>

#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

std::string hint_for(int error) {
  if (error == ENOSPC || error == EDQUOT) return "make room on that disk, or write to another one";
  if (error == EACCES || error == EPERM || error == EROFS) return "write to a folder of yours";
  return error == ENOENT ? "make the folder above it first" : "";
}

}  // namespace

void fail_output(const std::filesystem::path& path, const std::string& what, int error) {
  throw Error(ErrorCode::kIo, in_quotes(path.string()) + ": " + what + ": " + std::strerror(error),
              hint_for(error));
}

}  // namespace wshare
