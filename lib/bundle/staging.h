#pragma once

#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "format/manifest/manifest.h"
#include "util/descriptor.h"
#include "util/folder.h"

namespace wshare {

// The files of an edit that is not committed yet, in a hidden folder of the bundle.
//
// Each is written here. When it gets its name in the bundle, it keeps the one here, too (a hard
// link, or where it must have one name only, the number of the file), and old files that are to go
// get one here; so what lies here and, as the same file, in the bundle, without being named by the
// manifest, is what a killed edit has left. Nobody's word is taken for it: a text that came with
// the folder does not know the number that a file has got here.
class Staging {
 public:
  // Makes the folder in `bundle`, which is locked. Throws Error(kIo).
  explicit Staging(std::shared_ptr<const Folder> bundle);
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  const std::filesystem::path& path() const { return path_; }

  // Returns the names of the files here. Throws Error(kIo).
  std::vector<std::string> names() const;

  // Gives the file `name` its name in the bundle, too. Throws Error(kIo) if something has it.
  void place(const std::string& name);

  // The same, but the file keeps no name here: ONNX Runtime refuses a file of weights with two
  // names. A link that leads nowhere stays, with the number of the file.
  void place_alone(const std::string& name);

  // Notes that `name` in the bundle will go. Where the file system has no hard links, what a killed
  // edit does not delete then stays.
  void note(const std::string& name);

  // Makes the file `name` the manifest of the bundle: the commit. Throws Error(kIo).
  void commit(const std::string& name);

  // Deletes what `manifest` does not name of all that was placed or noted, and the folder. Returns
  // true if nothing is left. Throws nothing.
  bool clear(const Manifest& manifest);

 private:
  std::shared_ptr<const Folder> bundle_;
  std::string name_;
  std::filesystem::path path_;
  Descriptor folder_;
  std::set<std::string> unlinked_;  // placed or noted without a name here
};

// Does so for what edits that were killed have left in `bundle`, which is locked and has
// `manifest`. Returns true if nothing is left. Throws nothing.
bool clear_stagings(const Folder& bundle, const Manifest& manifest);

// True if `name` in `bundle` is such a file, unless a manifest names it.
bool is_left_over(const Folder& bundle, const std::string& name);

// True for the names of such folders.
bool is_staging_name(std::string_view name);

}  // namespace wshare
