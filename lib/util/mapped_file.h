#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "util/folder.h"

namespace wshare {

// A whole file, mapped read-only; move-only. It takes no file descriptor: a process may have far
// more files mapped than open.
//
// bytes() lives as long as the object. The file is expected to stay as it is: see
// check_unchanged().
class MappedFile {
 public:
  // Maps the regular file at `path`.
  //
  // Throws Error(kIo) if it cannot be opened, is no regular file or cannot be mapped.
  static MappedFile open(const std::filesystem::path& path);

  // The same for the file `name` of `folder`, wherever that is now.
  static MappedFile open(std::shared_ptr<const Folder> folder, const std::string& name);

  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&&) = delete;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  // For messages; see open_path().
  const std::filesystem::path& path() const { return path_; }
  // For those who open the file by its path: valid as long as this lives.
  std::filesystem::path open_path() const;
  // Equal for two maps of one file on disk, whatever their paths.
  FileId id() const { return stamp_.id; }

  // True if check_unchanged() would not throw.
  bool is_unchanged() const;

  // Throws Error(kIo) if its name leads to another file than at open() or to none, if the file has
  // another size or time of change, or if reading it hit pages that are gone (see
  // install_sigbus_guard).
  void check_unchanged() const;

  // True if somebody has written to this very file, or reading it hit pages that are gone. A file
  // whose name leads to another one by now, or to none, is as it was.
  bool was_written_to() const;

  // Gives the resident pages back to the system; later reads fetch them from the file again.
  void drop_pages() const;

 private:
  MappedFile(std::shared_ptr<const Folder> folder, std::filesystem::path path)
      : folder_(std::move(folder)), path_(std::move(path)) {}

  void map(int descriptor);
  std::optional<FileStamp> stamp_now() const;
  bool is_damaged() const;

  std::shared_ptr<const Folder> folder_;  // that the file was opened in; null: by its path
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
  FileStamp stamp_;
  int guard_slot_ = -1;
};

// Makes a read of a mapped file that has shrunk meanwhile yield zeros instead of killing the
// process; check_unchanged() of that file throws from then on. For programs, not libraries: it
// takes over SIGBUS of the whole process.
void install_sigbus_guard();

}  // namespace wshare
