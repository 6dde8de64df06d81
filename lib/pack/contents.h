#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "bundle/distinct.h"
#include "format/bundle_files.h"
#include "format/manifest/manifest.h"
#include "util/mapped_file.h"
#include "util/output_folder.h"

namespace wshare {

// The contents that packs may refer to: those of the bundle, and those of a new blob, which grows.
class PackContents {
 public:
  // `manifest` is that of the bundle in `folder`, without the packs that will go. The new blob is
  // to be `file`, made when there is something for it; `made` then gives it its name in `folder`,
  // where it is read. No file: nothing is written, and equal hashes count as equal bytes. All
  // functions throw Error(kIo) if a blob that they need is missing, Error(kInvalid) if one has
  // another size.
  PackContents(const Manifest& manifest, const std::filesystem::path& folder,
               std::optional<std::filesystem::path> file, std::function<void()> made);

  struct Found {
    Bytes bytes;
    ContentHash hash;
    Extent extent = {};
  };

  // Says in each of `contents` where its bytes lie, all in one blob if `together`; true if all were
  // found.
  bool find(std::vector<Found>& contents, bool together);

  // Appends the bytes of `content` to the new blob, unless it has them, and says where they lie.
  void add(Found& content);

  // The new blob, which follows those of the manifest. Its size is 0 if nothing was added.
  uint32_t number() const { return blobs_; }
  uint64_t size() const { return size_; }

  // Ends the new blob. Throws Error(kIo).
  void close();

 private:
  std::optional<Extent> find_in(const Found& content, std::optional<uint32_t> blob);
  bool is_at(const Extent& extent, Bytes bytes);

  uint32_t blobs_;  // of the manifest
  StoredFiles files_;
  std::multimap<ContentHash, Extent> known_;
  std::optional<std::filesystem::path> new_file_;
  std::function<void()> made_;
  std::optional<OutputFile> file_;
  std::filesystem::path path_;
  std::optional<MappedFile> written_;  // as far as it was needed
  uint64_t size_ = 0;
};

}  // namespace wshare
