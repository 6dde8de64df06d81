#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "format/manifest/manifest.h"
#include "util/folder.h"
#include "util/mapped_file.h"

namespace wshare {

// Says what to do about a damaged bundle.
inline constexpr char kDamageHint[] = "'wshare verify' lists all damage";

// The files of one bundle. All that opens one goes through here.
//
// They are those of one folder, also when it was moved or another one has taken its place. A blob
// is mapped when it is first asked for, and stays so as long as this lives. A part of a bundle will
// do: a file that is missing is an error when it is asked for. All functions may be called by
// several threads.
class StoredFiles {
 public:
  // `manifest` is that of the bundle in `folder`; it need not outlive this.
  StoredFiles(std::shared_ptr<const Folder> folder, const Manifest& manifest);
  StoredFiles(std::shared_ptr<const Folder> folder,
              std::shared_ptr<const std::vector<BlobRecord>> blobs);
  // Opens `folder`. Throws Error(kIo) if there is none.
  StoredFiles(const std::filesystem::path& folder, const Manifest& manifest);

  // Takes the maps of `before`, of the same folder, for the blobs that are the same files still.
  void share_maps(const StoredFiles& before);

  const std::shared_ptr<const Folder>& folder() const { return folder_; }
  const std::vector<BlobRecord>& records() const { return *records_; }

  // Returns the map of blob number `blob` of the manifest.
  //
  // Throws Error(kIo) if it is missing or cannot be mapped, Error(kInvalid) if it has another size.
  const MappedFile& blob(uint32_t blob) const;

  // Returns the bytes of `extent`. Throws as blob() does.
  std::span<const std::byte> bytes(const Extent& extent) const;

  // Maps the file of `model`, once more at each call.
  //
  // Throws Error(kIo) if it is missing, Error(kInvalid) if it is not the file that the manifest
  // says: size and hash.
  MappedFile model(const ModelRecord& model, unsigned threads = 1) const;

  // Maps blob number `blob` once more, and reads all of it. Throws as blob() does, and
  // Error(kInvalid) if it has not the hash that the manifest gives it as a whole.
  MappedFile whole_blob(uint32_t blob, unsigned threads = 1) const;

  // Maps the file `name` of `size` bytes. Throws as blob() does.
  MappedFile open(const std::string& name, uint64_t size) const;

  // True if there is a file `name`. Throws Error(kIo) if that cannot be told.
  bool has(const std::string& name) const { return folder_->look_up(name).has_value(); }

  // Throws Error(kIo) if a blob that is mapped, one of `blobs`, changed since: see
  // MappedFile::check_unchanged().
  void check_unchanged(std::span<const uint32_t> blobs) const;
  // The same of all blobs that are mapped.
  void check_unchanged() const;

 private:
  std::shared_ptr<const Folder> folder_;
  std::shared_ptr<const std::vector<BlobRecord>> records_;
  mutable std::mutex mutex_;
  mutable std::vector<std::shared_ptr<const MappedFile>> blobs_;  // guarded; null: not mapped yet
};

// Throws Error(kInvalid) unless `file` is the file of `model` that the manifest says.
void check_model_file(const ModelRecord& model, const MappedFile& file, unsigned threads);

}  // namespace wshare
