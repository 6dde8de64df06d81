#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "format/bundle_files.h"
#include "format/manifest/manifest.h"
#include "util/folder.h"

namespace wshare {

// Returns the blobs that a session of `model` reads: those of its tensors, of `buffers`, and files
// that its nodes name.
std::set<uint32_t> blobs_of(const ModelRecord& model,
                            const std::vector<BufferRecord>& buffers = {});

// Throws Error(kIo) unless is_free(path); `hint` is what to do then.
void check_free(const std::filesystem::path& path, const std::string& hint);

// How an export puts files of a bundle into folders of others: as hard links or as copies.
class PlacedFiles {
 public:
  // `files` must outlive this. With `link`, files are linked where the file system can.
  PlacedFiles(const StoredFiles& files, bool link) : files_(files), link_(link) {}

  // Makes `as` in `to` the file `name` of the bundle, which has `size` bytes. Without `to` (null)
  // only the sizes are counted.
  //
  // Throws what StoredFiles::open() does; Error(kIo).
  void put(const std::string& name, uint64_t size, const std::shared_ptr<const Folder>& to,
           const std::string& as);

  // Makes `as` in `to` a file with this text.
  void write(std::string_view text, const std::shared_ptr<const Folder>& to, const std::string& as);

  // Of the bundle's files that got a name more, each once; of those that were written.
  uint64_t linked_bytes() const { return linked_bytes_; }
  uint64_t copied_bytes() const { return copied_bytes_; }

 private:
  const StoredFiles& files_;
  bool link_;
  std::set<std::string> linked_;
  uint64_t linked_bytes_ = 0, copied_bytes_ = 0;
};

}  // namespace wshare
