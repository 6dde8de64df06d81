#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "util/descriptor.h"

namespace wshare {

// A file being written front to back; move-only. The destructor closes, it never publishes.
class OutputFile {
 public:
  // kDurable: on the disk when it is closed; kTemporary: nobody needs it after this process.
  enum class Kind { kDurable, kTemporary };

  // Creates `path`, which must not exist. `expected_bytes`, when known, reserves the space of a
  // large file at once, so that a full disk shows before anything is written; of files of 64 MiB
  // and more only the end stays in the page cache. Throws Error(kIo); then there is no file.
  explicit OutputFile(std::filesystem::path path, uint64_t expected_bytes = 0,
                      Kind kind = Kind::kDurable);

  // The same for `name` in an open folder, which messages call `shown_as`.
  OutputFile(int folder, const std::string& name, std::filesystem::path shown_as,
             uint64_t expected_bytes = 0, Kind kind = Kind::kDurable);

  // Opens a file that was created so, to write more at other places.
  static OutputFile again(int folder, const std::string& name, std::filesystem::path shown_as);

  // Appends `bytes`. The bytes may lie in a mapped file: if that shrinks meanwhile, this throws
  // Error(kIo) like any other failed write.
  void write(std::span<const std::byte> bytes);
  void write(const std::string& text) { write(std::as_bytes(std::span(text))); }

  // Appends `count` zero bytes.
  void write_zeros(uint64_t count);

  // Writes `bytes` at `offset`, which may lie beyond the end: the gap reads as zeros.
  void write_at(uint64_t offset, std::span<const std::byte> bytes);

  uint64_t offset() const { return offset_; }
  int descriptor() const { return descriptor_.number(); }

  // Ends the file at its written size and starts to move its bytes to the disk: for finish(), which
  // then waits less. Throws Error(kIo).
  void start_finish();

  // Ends the file at its written size and makes its bytes durable. Throws Error(kIo).
  void finish();

  // Does so and closes it. Throws Error(kIo).
  void close();

  // Closes a file that was made durable with others: see SyncBatch. Throws Error(kIo).
  void close_synced();

 private:
  OutputFile(Descriptor descriptor, std::filesystem::path shown_as, Kind kind)
      : path_(std::move(shown_as)), descriptor_(std::move(descriptor)), kind_(kind) {}

  void end();
  void reserve(int folder, const char* name, uint64_t bytes);
  void move_to_disk();
  void move(uint64_t from, uint64_t to, unsigned flags) const;

  std::filesystem::path path_;
  Descriptor descriptor_;
  Kind kind_;
  uint64_t offset_ = 0;
  uint64_t reserved_ = 0;
  uint64_t started_ = 0, dropped_ = 0;  // up to where bytes are on their way to disk, and are there
};

}  // namespace wshare
