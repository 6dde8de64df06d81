#pragma once

#include <filesystem>
#include <vector>

#include "bundle/draft.h"
#include "format/manifest/manifest.h"

namespace wshare {

// Returns the bundle in `folder`, which has `manifest`, as a start for a draft: the blobs of its
// tensors mapped, what new models may point to, and what names and places are taken.
//
// Throws Error(kIo) if a file is missing, Error(kInvalid) if one has another size than the manifest
// says or a restore record is damaged.
DraftStart make_start(const Manifest& manifest, const std::filesystem::path& folder,
                      unsigned threads);

// Returns the extents of tensors in `files`, whose manifest is `manifest`, and what removed models
// have left in the same blobs; each once, mapped.
std::vector<StoredExtent> find_stored(const Manifest& manifest, const StoredFiles& files);

}  // namespace wshare
