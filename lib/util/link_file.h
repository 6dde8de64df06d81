#pragma once

#include <string>

#include "util/folder.h"
#include "util/mapped_file.h"

namespace wshare {

// Makes `as` in `to` another name of the file `id`, which is called `name` in `from`.
//
// Returns false, and leaves no name, where the file system has no link for it, or `name` is a link
// or another file by now. Throws Error(kIo) if the disk is full or fails.
bool link_file(const Folder& from, const std::string& name, const Folder& to, const std::string& as,
               const FileId& id);

// Makes `as` in `to` the file `file`, which is called `name` in `from`: another name of it, if
// `link` and where link_file() can, else a durable copy. Returns true if it is linked. Throws
// Error(kIo).
bool place_file(const Folder& from, const std::string& name, const MappedFile& file,
                const Folder& to, const std::string& as, bool link);

}  // namespace wshare
