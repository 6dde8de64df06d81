#pragma once

#include <compare>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace wshare {

// What tells one file on disk from another.
struct FileId {
  uint64_t device = 0;
  uint64_t inode = 0;
  auto operator<=>(const FileId&) const = default;
};

// Returns the id of what is called `name` in the open folder `folder`, of a link itself; or nothing
// if there is no such file, or that cannot be told.
std::optional<FileId> id_at(int folder, const std::string& name);

// True if `name` in the open folder `folder` still is what is open as `descriptor`.
bool leads_to(int folder, const std::string& name, int descriptor);

struct Listing {
  std::vector<std::string> names;  // without "." and ".."
  int error = 0;                   // an errno: then names may be missing
};

// Lists the open folder `folder`.
Listing list_folder(int folder);

// A file as it was at one moment: another stamp, another content.
struct FileStamp {
  FileId id;
  uint64_t size = 0;
  int64_t changed_ns = 0;  // time of the last change of its bytes
  bool is_regular = false;
  bool is_folder = false;
  bool operator==(const FileStamp&) const = default;
};

// Returns the stamp of the file that `path` leads to, or nothing if there is none. Throws
// Error(kIo) if that cannot be told.
std::optional<FileStamp> look_up(const std::filesystem::path& path);

// Returns the stamp of the open file `descriptor`, whose name is `path`. Throws Error(kIo).
FileStamp stamp_of(int descriptor, const std::filesystem::path& path);

// A folder, held open. What is looked up in it is of this very folder, also when it was moved or
// another one has taken its place.
class Folder {
 public:
  // Opens the folder at `path`. Throws Error(kIo) if there is none.
  static std::shared_ptr<const Folder> open(const std::filesystem::path& path);
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder();

  // As given to open(): for messages, and for names in the folder while is_at_path().
  const std::filesystem::path& path() const { return path_; }
  int descriptor() const { return descriptor_; }

  // True if path() still leads to this folder.
  bool is_at_path() const;

  // Returns a path to `name` for those who open files by path, such as ONNX Runtime: it leads into
  // this folder wherever that is now, as long as this lives. Where the system has no /proc, it is
  // below path().
  std::filesystem::path path_of(const std::string& name) const;

  // Returns what `name`, links followed, is now, or nothing if there is no such file. Throws
  // Error(kIo) if that cannot be told.
  std::optional<FileStamp> look_up(const std::string& name) const;

 private:
  Folder(std::filesystem::path path, int descriptor);

  std::filesystem::path path_;
  int descriptor_;
  FileId id_;
};

}  // namespace wshare
