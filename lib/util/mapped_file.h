#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace wshare {

// What tells one file on disk from another.
struct FileId {
  uint64_t device = 0;
  uint64_t inode = 0;
  auto operator<=>(const FileId&) const = default;
};

// Returns the id of the file that `path` leads to. Throws Error(kIo) if there is none.
FileId file_id(const std::filesystem::path& path);

// A whole file, mapped read-only; move-only.
//
// bytes() lives as long as the object. The file is expected to stay as it is: see
// check_unchanged().
class MappedFile {
 public:
  // Maps the regular file at `path`.
  //
  // Throws Error(kIo) if it cannot be opened, is no regular file or cannot be mapped.
  static MappedFile open(const std::filesystem::path& path);

  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&&) = delete;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::filesystem::path& path() const { return path_; }
  int descriptor() const { return descriptor_; }

  // Equal for two maps of one file on disk, whatever their paths.
  FileId id() const { return id_; }

  // Throws Error(kIo) if the file has another size or time of change than at open(), or if reading
  // it hit pages that are gone (see install_sigbus_guard).
  void check_unchanged() const;

  // Gives the resident pages back to the system; later reads fetch them from the file again.
  void drop_pages() const;

 private:
  explicit MappedFile(std::filesystem::path path) : path_(std::move(path)) {}

  std::filesystem::path path_;
  int descriptor_ = -1;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
  FileId id_;
  int64_t changed_ns_ = 0;
  int guard_slot_ = -1;
};

// Makes a read of a mapped file that has shrunk meanwhile yield zeros instead of killing the
// process; check_unchanged() of that file throws from then on. For programs, not libraries: it
// takes over SIGBUS of the whole process.
void install_sigbus_guard();

}  // namespace wshare
