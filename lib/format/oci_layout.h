#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "format/oci.h"
#include "util/folder.h"
#include "util/mapped_file.h"

namespace wshare::oci {

// Names in a layout.
inline constexpr char kLayoutName[] = "oci-layout";
inline constexpr char kIndexName[] = "index.json";
inline constexpr char kBlobsName[] = "blobs/sha256";

// An OCI image layout on disk, open for reading. Nothing in it is trusted, and no link is followed.
class Layout {
 public:
  // Throws Error(kIo) if `folder` is no layout, Error(kInvalid) or Error(kUnsupported) if it is one
  // that cannot be read.
  explicit Layout(const std::filesystem::path& folder);

  const Index& index() const { return index_; }
  const std::filesystem::path& path() const { return folder_->path(); }

  // Returns the manifest that `tag` names; without a tag the only one, or the one called "latest".
  //
  // Throws Error(kInvalid) that lists the tags if there is no such manifest.
  const Blob& find(const std::string& tag) const;

  // The folder of blobs.
  const std::shared_ptr<const Folder>& blobs() const { return blobs_; }

  // Maps a blob. Throws Error(kInvalid) if it is missing, a link or of another size.
  MappedFile open(const Blob& blob) const;

  // Returns the bytes of a small blob.
  //
  // Throws Error(kInvalid) as open() does, and if it has over `most` bytes or another digest.
  std::string read(const Blob& blob, uint64_t most) const;

  // Returns the manifest that `blob` is. Throws as read() does, and Error(kInvalid) if it is none.
  ImageManifest read_manifest(const Blob& blob) const;

 private:
  std::string shown(const Blob& blob) const;

  std::shared_ptr<const Folder> folder_, blobs_;
  Index index_;
};

// True if something is at `folder` that is a layout.
bool is_layout(const std::filesystem::path& folder);

}  // namespace wshare::oci
