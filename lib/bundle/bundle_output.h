#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "util/output_file.h"
#include "util/sync_batch.h"

namespace wshare {

// Where the files of a bundle go: a folder, in which they become durable together, or nowhere,
// where a bundle is only measured. Threads may write different files.
class BundleOutput {
 public:
  // Throws Error(kIo) if the folder cannot be opened.
  explicit BundleOutput(const std::optional<std::filesystem::path>& folder);

  // Returns the new file `name`, for which room is made for `size` bytes; nothing where files go
  // nowhere. It is given back when it is written.
  std::optional<OutputFile> create(const std::string& name, uint64_t size = 0) const;
  void take(std::optional<OutputFile> file) const;

  // Writes the file `name` as a whole.
  void write(const std::string& name, std::span<const std::byte> bytes) const;

  // Makes all durable. All functions throw Error(kIo).
  void finish() const;

 private:
  std::optional<std::filesystem::path> folder_;
  std::unique_ptr<SyncBatch> batch_;
};

}  // namespace wshare
