#include "util/link_file.h"

#include <cerrno>

#include "util/file_calls.h"
#include "util/output_errors.h"
#include "util/output_file.h"

namespace wshare {

bool link_file(const Folder& from, const std::string& name, const Folder& to, const std::string& as,
               const FileId& id) {
  if (file_calls::link_at(from.descriptor(), name.c_str(), to.descriptor(), as.c_str()) != 0) {
    if (errno == ENOSPC || errno == EDQUOT || errno == EIO)
      fail_output(to.path() / as, "cannot link", errno);
    return false;
  }
  if (id_at(to.descriptor(), as) == id) return true;
  file_calls::unlink_at(to.descriptor(), as.c_str());
  return false;
}

bool place_file(const Folder& from, const std::string& name, const MappedFile& file,
                const Folder& to, const std::string& as, bool link) {
  if (link && link_file(from, name, to, as, file.id())) return true;
  OutputFile copy(to.descriptor(), as, to.path() / as, file.bytes().size());
  copy.write(file.bytes());
  copy.close();
  file.check_unchanged();
  return false;
}

}  // namespace wshare
