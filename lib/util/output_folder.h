#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>

#include "util/interrupt.h"

namespace wshare {

// A file being written front to back; move-only. The destructor closes, it never publishes.
class OutputFile {
 public:
  // Creates `path`, which must not exist. `expected_bytes`, when known, reserves the space of a
  // large file at once, so that a full disk shows before anything is written; of files of 64 MiB
  // and more only the end stays in the page cache. Throws Error(kIo).
  explicit OutputFile(std::filesystem::path path, uint64_t expected_bytes = 0);
  OutputFile(OutputFile&& other) noexcept;
  OutputFile& operator=(OutputFile&&) = delete;
  ~OutputFile();

  // Appends `bytes`. The bytes may lie in a mapped file: if that shrinks meanwhile, this throws
  // Error(kIo) like any other failed write.
  void write(std::span<const std::byte> bytes);
  void write(const std::string& text) { write(std::as_bytes(std::span(text))); }

  // Appends `count` zero bytes.
  void write_zeros(uint64_t count);

  // Writes `bytes` at `offset`, which may lie beyond the end: the gap reads as zeros.
  void write_at(uint64_t offset, std::span<const std::byte> bytes);

  uint64_t offset() const { return offset_; }

  // Ends the file at its written size and closes it. Throws Error(kIo).
  void close();

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  uint64_t offset_ = 0;
  uint64_t reserved_ = 0;
  uint64_t started_ = 0, dropped_ = 0;  // up to where bytes are on their way to disk, and are there

  void move_to_disk();
};

// Makes the bytes of `file`, or the names in `folder`, durable. Throws Error(kIo).
void sync_file(const std::filesystem::path& file);
void sync_folder(const std::filesystem::path& folder);

// Removes `folder` with all that is in it, also while others put files there; returns true if it is
// gone.
bool remove_folder(const std::filesystem::path& folder);

// A folder that appears at its place as a whole or not at all.
//
// Files are written under path(), a hidden folder beside the target. commit() makes them durable
// and moves the folder to the target in one step; without it the destructor removes everything, and
// so does a signal.
class OutputFolder {
 public:
  // Prepares `target`. Its parent must exist. With `replace`, a target that exists is replaced by
  // commit(), else it must be missing or an empty folder. Throws Error(kIo), also if it is a mount
  // point.
  OutputFolder(std::filesystem::path target, bool replace);
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;
  ~OutputFolder();

  const std::filesystem::path& path() const { return path_; }

  // Throws Error(kIo); the target is then as it was.
  void commit();

 private:
  std::filesystem::path target_;
  std::filesystem::path path_;
  bool replace_;
  std::optional<CleanUp> clean_up_;  // last, so that it goes first
};

}  // namespace wshare
