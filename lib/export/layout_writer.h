#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "format/oci.h"
#include "format/oci_layout.h"
#include "util/descriptor.h"
#include "util/folder.h"
#include "util/interrupt.h"
#include "util/mapped_file.h"
#include "util/output_folder.h"

namespace wshare {

// An OCI layout that gets a manifest more.
//
//   blobs, each as a whole under its digest ─ made durable ─ index.json replaced (the commit)
//
// A layout that is not there yet appears as a whole. Without publish() the blobs that were added go
// again; a signal does so, too, and what a killed process leaves are blobs that no tag names.
class LayoutWriter {
 public:
  // With `dry_run` nothing is ever written.
  //
  // Throws Error(kIo) if something else is at `path`, or another process writes to the layout; what
  // oci::Layout throws.
  LayoutWriter(const std::filesystem::path& path, bool dry_run);
  LayoutWriter(const LayoutWriter&) = delete;
  LayoutWriter& operator=(const LayoutWriter&) = delete;
  ~LayoutWriter();

  // The layout as it was; null: there was none.
  const oci::Layout* before() const { return before_ ? &*before_ : nullptr; }

  // Returns the digest of a file that the layout has as a blob: the same file, under two names.
  std::optional<std::string> digest_of(const FileId& file) const;

  // True if the layout has, or was given, a blob of that digest and size.
  bool has(const oci::Blob& blob) const;

  enum class Way { kThere, kLinked, kCopied };

  // Makes `file`, which is called `name` in `folder`, the blob `blob`: by a hard link if `link`,
  // where that can be.
  Way put(const Folder& folder, const std::string& name, const MappedFile& file,
          const oci::Blob& blob, bool link);

  // Makes `pieces`, one behind the other, the blob `blob`.
  Way put(std::span<const std::span<const std::byte>> pieces, const oci::Blob& blob);
  Way put(std::string_view text, const oci::Blob& blob);

  // Lets the layout have `manifest`, which is under its tag.
  void publish(const oci::Blob& manifest);

 private:
  bool link(const Folder& folder, const std::string& name, const MappedFile& file,
            const std::string& digest);
  std::filesystem::path blobs() const;
  void note(const std::string& digest);
  bool undo() const;

  std::filesystem::path path_;
  bool dry_run_;
  Descriptor lock_;
  std::optional<oci::Layout> before_;
  std::optional<OutputFolder> made_;
  std::map<FileId, std::string> digests_;  // of the blobs that were there
  std::map<std::string, uint64_t> sizes_;  // of all blobs, by digest
  mutable std::mutex mutex_;
  std::vector<std::string> added_;  // guarded
  bool is_published_ = false;
  std::optional<CleanUp> clean_up_;  // last, so that it goes first
};

}  // namespace wshare
