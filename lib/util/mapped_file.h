#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace wshare {

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

  // True when both are the same file on disk, whatever their paths.
  bool same_file(const MappedFile& other) const {
    return device_ == other.device_ && inode_ == other.inode_;
  }

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
  uint64_t device_ = 0;
  uint64_t inode_ = 0;
  int64_t changed_ns_ = 0;
  int guard_slot_ = -1;
};

// Makes a read of a mapped file that has shrunk meanwhile yield zeros instead of killing the
// process; check_unchanged() of that file throws from then on. For programs, not libraries: it
// takes over SIGBUS of the whole process.
void install_sigbus_guard();

}  // namespace wshare
