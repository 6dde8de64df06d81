#pragma once

// manifest.json: how its text becomes records, and records text.

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "format/manifest/index.h"
#include "format/manifest/manifest.h"
#include "util/content_hash.h"
#include "util/folder.h"
#include "util/mapped_file.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {

// Returns the bytes of manifest.json, put together on up to `threads` threads; equal manifests give
// equal bytes.
std::string to_json(const Manifest& manifest, unsigned threads = 1);

// Returns `name` as it stands in a manifest, which is UTF-8: other bytes become U+FFFD.
std::string name_in_manifest(std::string_view name);

// Returns the manifest that `json` holds.
//
// Throws Error(kUnsupported) if the format version is newer than kFormatVersion (the message has
// both), Error(kInvalid) if the text is no manifest, an extent leaves its blob, a length
// contradicts shape and dtype, a file name is unsafe or given twice, or the manifest's own hash
// does not fit the text.
Manifest parse_manifest(std::string_view json);

// Reads manifest.json of the bundle in `folder`.
//
// Throws Error(kIo) if there is none or it is no regular file, with a hint; errors of
// parse_manifest() name the file.
Manifest load_manifest(const std::filesystem::path& folder);
Manifest load_manifest(const std::shared_ptr<const Folder>& folder);

// Opens the folder of a bundle. Throws as load_manifest() does if there is none.
std::shared_ptr<const Folder> open_bundle_folder(const std::filesystem::path& folder);

// Returns what to_json() does, once parse_manifest() has read it, so that no bundle is made that
// nobody can read. What commands write.
//
// Throws Error(kInvalid) if it cannot be read.
std::string to_checked_json(const Manifest& manifest, unsigned threads);

// Returns the record of a model, or of a pack, that is `record` and nothing else.
//
// Throws Error(kInvalid) if it is none.
ModelRecord parse_model(std::string_view record);
PackRecord parse_pack(std::string_view record);

// Checks what records say of each other: names, extents and the files that they lie in.
//
// Throws Error(kInvalid) if they contradict each other.
void check_manifest(const Manifest& manifest);
void check_index(ManifestIndex& index);
void check_model(const ModelRecord& model, const std::vector<BlobRecord>& blobs);
void check_pack(const PackRecord& pack, const std::vector<BlobRecord>& blobs);

// Maps manifest.json of the bundle in `folder`. Throws Error(kIo) as load_manifest() does.
MappedFile open_manifest(const std::shared_ptr<const Folder>& folder);

// Returns what read() does; errors name the manifest of `folder`.
template <typename Read>
auto with_manifest_named(const Folder& folder, const Read& read) {
  try {
    return read();
  } catch (const Error& error) {
    throw Error(error.code(),
                in_quotes((folder.path() / kManifestName).string()) + ": " + error.what(),
                error.hint().empty() ? "it is damaged: copy the bundle again, or make it anew"
                                     : error.hint());
  }
}

// A manifest's last key, "manifest_hash", seals its text: the hash of the whole text with the 32
// digits of that value replaced by '0'. Source: docs/bundle-format.md, "manifest.json".
inline constexpr size_t kSealDigits = 32;
inline constexpr std::string_view kSealTail = "\"\n}\n";  // what follows the digits

// Returns the offset of the digits. Throws Error(kInvalid) if `json` cannot have any.
inline size_t seal_at(std::string_view json) {
  if (json.size() < kSealDigits + kSealTail.size() || !json.ends_with(kSealTail)) {
    throw Error(ErrorCode::kInvalid, "does not end with its manifest_hash");
  }
  return json.size() - kSealTail.size() - kSealDigits;
}

// Returns the digits that seal `json`, whatever stands there now.
inline std::string seal_of(std::string_view json) {
  const size_t at = seal_at(json);
  const std::string zeros(kSealDigits, '0');
  ContentHasher hasher;
  for (const std::string_view piece : {json.substr(0, at), std::string_view(zeros), kSealTail})
    hasher.update(std::as_bytes(std::span(piece)));
  return to_hex(hasher.digest());
}

// Throws Error(kInvalid) unless `json` has the digits that seal it.
inline void check_seal(std::string_view json) {
  if (json.substr(seal_at(json), kSealDigits) == seal_of(json)) return;
  throw Error(ErrorCode::kInvalid, "was changed: its manifest_hash does not fit its text");
}

}  // namespace wshare
