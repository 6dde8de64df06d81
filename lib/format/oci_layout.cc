#include "format/oci_layout.h"

#include <utility>
#include <vector>

#include "util/as_text.h"
#include "util/sha256.h"
#include "util/suggest.h"
#include "util/text.h"
#include "wshare/error.h"

namespace fs = std::filesystem;

namespace wshare::oci {
namespace {

constexpr char kNoLayout[] = "'skopeo copy docker://REGISTRY/NAME:TAG oci:LAYOUT:TAG' makes one";

// Maps `name` in `folder`, which is no link.
MappedFile open_plain(const std::shared_ptr<const Folder>& folder, const std::string& name) {
  MappedFile file = MappedFile::open(folder, name);
  if (id_at(folder->descriptor(), name) == file.id()) return file;
  throw Error(ErrorCode::kInvalid, in_quotes(file.path().string()) + ": is a link");
}

// Returns what read(text) makes of the small file `name`; errors name it.
template <typename Read>
auto read_small(const std::shared_ptr<const Folder>& folder, const std::string& name,
                const Read& read) {
  const MappedFile file = open_plain(folder, name);
  try {
    if (file.bytes().size() > kMostManifestBytes) {
      throw Error(ErrorCode::kInvalid, "has " + std::to_string(file.bytes().size()) +
                                           " bytes, over " + std::to_string(kMostManifestBytes));
    }
    return read(as_text(file.bytes()));
  } catch (const Error& error) {
    throw Error(error.code(), in_quotes(file.path().string()) + ": " + error.what(), error.hint());
  }
}

std::shared_ptr<const Folder> open_layout(const fs::path& path) {
  std::error_code none;
  if (is_layout(path)) return Folder::open(path);
  const bool exists = fs::exists(path, none);
  throw Error(ErrorCode::kIo,
              in_quotes(path.string()) +
                  (exists ? ": is no OCI layout: it has no " + std::string(kLayoutName)
                          : ": there is no such layout"),
              kNoLayout);
}

}  // namespace

bool is_layout(const fs::path& folder) {
  std::error_code none;
  return fs::exists(folder / kLayoutName, none);
}

Layout::Layout(const fs::path& path) : folder_(open_layout(path)) {
  read_small(folder_, kLayoutName, [](std::string_view text) { return parse_layout(text), 0; });
  index_ = read_small(folder_, kIndexName, parse_index);
  const fs::path blobs = path / kBlobsName;
  std::error_code none;
  if (!fs::is_directory(blobs, none)) {
    throw Error(ErrorCode::kInvalid,
                in_quotes(path.string()) + ": has no folder " + in_quotes(kBlobsName));
  }
  blobs_ = Folder::open(blobs);
}

const Blob& Layout::find(const std::string& tag) const {
  if (tag.empty() && index_.manifests.size() == 1) return index_.manifests[0].descriptor;
  if (const Blob* found = index_.find(tag.empty() ? "latest" : tag)) return *found;
  std::vector<std::string> tags;
  for (const Index::Entry& entry : index_.manifests) {
    if (!entry.descriptor.tag.empty()) tags.push_back(entry.descriptor.tag);
  }
  const std::string what =
      tag.empty() ? ": has several tags, none of them 'latest'" : ": has no tag " + in_quotes(tag);
  throw Error(ErrorCode::kInvalid,
              in_quotes(path().string()) + (tags.empty() ? ": has no tag" : what),
              tags.empty() ? "" : hint_of_names(tag, tags));
}

std::string Layout::shown(const Blob& blob) const {
  return in_quotes((blobs_->path() / blob.digest).string());
}

MappedFile Layout::open(const Blob& blob) const {
  const std::optional<FileStamp> found = blobs_->look_up(blob.digest);
  if (!found || !found->is_regular) {
    throw Error(ErrorCode::kInvalid,
                shown(blob) + (found ? ": is no file"
                                     : ": is missing" + (blob.file.empty()
                                                             ? std::string()
                                                             : "; it is " + in_quotes(blob.file))),
                "pull it again");
  }
  MappedFile file = open_plain(blobs_, blob.digest);
  if (file.bytes().size() == blob.size) return file;
  throw Error(ErrorCode::kInvalid,
              shown(blob) + ": has " + std::to_string(file.bytes().size()) +
                  " bytes, the manifest says " + std::to_string(blob.size),
              "pull it again");
}

std::string Layout::read(const Blob& blob, uint64_t most) const {
  if (blob.size > most) {
    throw Error(ErrorCode::kInvalid, shown(blob) + ": has " + std::to_string(blob.size) +
                                         " bytes; registries take " + std::to_string(most));
  }
  std::string text(as_text(open(blob).bytes()));
  if (sha256_of(std::as_bytes(std::span(text))) == blob.digest) return text;
  throw Error(ErrorCode::kInvalid, shown(blob) + ": is damaged: its SHA-256 is another",
              "pull it again");
}

ImageManifest Layout::read_manifest(const Blob& blob) const {
  if (blob.media_type != kManifestType) {
    throw Error(ErrorCode::kUnsupported, shown(blob) + ": is of the type " +
                                             in_quotes(blob.media_type) + ", no " +
                                             in_quotes(kManifestType));
  }
  const std::string text = read(blob, kMostManifestBytes);
  try {
    return parse_manifest(text);
  } catch (const Error& error) {
    throw Error(error.code(), shown(blob) + ": " + error.what());
  }
}

}  // namespace wshare::oci
