#include "export/layout_writer.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>
#include <utility>

#include "util/durable.h"
#include "util/file_calls.h"
#include "util/link_file.h"
#include "util/output_errors.h"
#include "util/output_file.h"
#include "util/sha256.h"
#include "util/target_file.h"
#include "util/text.h"
#include "wshare/error.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

using oci::Blob;

// Two exports would each write an index without the other's tag.
Descriptor lock_folder(const fs::path& path) {
  Descriptor folder(
      file_calls::open_at(AT_FDCWD, path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.number() < 0) fail_output(path, "cannot open", errno);
  if (file_calls::lock(folder.number(), LOCK_EX | LOCK_NB) == 0) return folder;
  throw Error(ErrorCode::kIo, in_quotes(path.string()) + ": another export writes to it",
              "try again when that has ended");
}

void write_file(const fs::path& path, std::string_view text) {
  OutputFile file(path, text.size());
  file.write(std::string(text));
  file.close();
}

}  // namespace

LayoutWriter::LayoutWriter(const fs::path& path, bool dry_run) : path_(path), dry_run_(dry_run) {
  if (is_free(path)) {
    if (dry_run) return;
    made_.emplace(path, false);
    for (fs::path folder = made_->path(); const char* name : {"blobs", "sha256"})
      make_folder(folder /= name);
    return;
  }
  if (!oci::is_layout(path)) {
    throw Error(ErrorCode::kIo, in_quotes(path.string()) + ": exists and is no OCI layout",
                "name a folder to make");
  }
  if (!dry_run) lock_ = lock_folder(path);
  before_.emplace(path);
  const int blobs = before_->blobs()->descriptor();
  for (const std::string& name : list_folder(blobs).names) {
    const std::optional<FileStamp> found = before_->blobs()->look_up(name);
    if (!is_sha256(name) || !found || !found->is_regular || id_at(blobs, name) != found->id)
      continue;
    digests_[found->id] = name;
    sizes_[name] = found->size;
  }
  clean_up_.emplace([this] { return undo(); });
}

LayoutWriter::~LayoutWriter() { undo(); }

bool LayoutWriter::undo() const {
  const std::lock_guard lock(mutex_);
  if (is_published_ || !before_) return true;
  bool all = true;
  for (const std::string& name : added_) {
    const int folder = before_->blobs()->descriptor();
    all = (file_calls::unlink_at(folder, name.c_str()) == 0 || errno == ENOENT) && all;
  }
  return all;
}

// Before the blob is there, since a signal may come at any time.
void LayoutWriter::note(const std::string& digest) {
  const std::lock_guard lock(mutex_);
  added_.push_back(digest);
}

fs::path LayoutWriter::blobs() const { return (made_ ? made_->path() : path_) / oci::kBlobsName; }

std::optional<std::string> LayoutWriter::digest_of(const FileId& file) const {
  const auto at = digests_.find(file);
  return at == digests_.end() ? std::nullopt : std::optional(at->second);
}

bool LayoutWriter::has(const Blob& blob) const {
  const auto at = sizes_.find(blob.digest);
  return at != sizes_.end() && at->second == blob.size;
}

// False where the file system has no link for it.
bool LayoutWriter::link(const Folder& folder, const std::string& name, const MappedFile& file,
                        const std::string& digest) {
  const std::shared_ptr<const Folder> to = Folder::open(blobs());
  note(digest);
  return link_file(folder, name, *to, digest, file.id());
}

LayoutWriter::Way LayoutWriter::put(const Folder& folder, const std::string& name,
                                    const MappedFile& file, const Blob& blob, bool link) {
  if (has(blob)) return Way::kThere;
  const bool is_free = sizes_.count(blob.digest) == 0;
  if (link && (dry_run_ || (is_free && this->link(folder, name, file, blob.digest)))) {
    sizes_[blob.digest] = blob.size;
    return Way::kLinked;
  }
  const std::span<const std::byte> bytes = file.bytes();
  const Way way = put(std::span(&bytes, 1), blob);
  file.check_unchanged();
  return way;
}

LayoutWriter::Way LayoutWriter::put(std::span<const std::span<const std::byte>> pieces,
                                    const Blob& blob) {
  if (has(blob)) return Way::kThere;
  sizes_[blob.digest] = blob.size;
  if (dry_run_) return Way::kCopied;
  TargetFile file(blobs() / blob.digest, blob.size, true);
  for (const std::span<const std::byte> piece : pieces) file.file().write(piece);
  note(blob.digest);
  file.place();
  return Way::kCopied;
}

LayoutWriter::Way LayoutWriter::put(std::string_view text, const Blob& blob) {
  const std::span<const std::byte> bytes = std::as_bytes(std::span(text));
  return put(std::span(&bytes, 1), blob);
}

void LayoutWriter::publish(const Blob& manifest) {
  if (dry_run_) return;
  const oci::Index index = oci::with_manifest(before_ ? before_->index() : oci::Index(), manifest);
  const std::string text = oci::to_json(index);
  if (made_) {
    write_file(made_->path() / oci::kLayoutName, oci::kLayoutText);
    write_file(made_->path() / oci::kIndexName, text);
    made_->commit();
    return;
  }
  sync_folder(blobs());
  TargetFile file(path_ / oci::kIndexName, text.size(), true);
  file.file().write(text);
  const Unstoppable publishing;
  file.publish();
  const std::lock_guard lock(mutex_);
  is_published_ = true;
}

}  // namespace wshare
