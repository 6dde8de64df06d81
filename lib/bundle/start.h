#pragma once

#include <filesystem>

#include "bundle/draft.h"
#include "format/manifest.h"

namespace wshare {

// Returns the bundle in `folder`, which has `manifest`, as a start for a draft: its blobs mapped,
// what new models may point to, and what names and places are taken.
//
// Throws Error(kIo) if a file is missing, Error(kInvalid) if one has another size than the manifest
// says or a restore record is damaged.
DraftStart make_start(const Manifest& manifest, const std::filesystem::path& folder,
                      unsigned threads);

// Maps `blob` of the bundle in `folder`. Throws as above.
MappedFile open_blob(const BlobRecord& blob, const std::filesystem::path& folder);

// Throws Error(kInvalid) if `file` is not the one that `record` is about.
void check_model_file(const ModelRecord& record, const MappedFile& file, unsigned threads);

}  // namespace wshare
