#pragma once

#include <cstdint>
#include <filesystem>

#include "bundle/draft.h"
#include "format/manifest/manifest.h"
#include "wshare/progress.h"

namespace wshare {

// The files of a bundle as made from a draft.
struct BundleFiles {
  Manifest manifest;
  uint64_t bytes = 0;  // of all files, manifest.json included
};

// Writes all files of the bundle into `folder`, the manifest last. With draft.start only the new
// ones: the manifest, which then names old and new, is left to publish_manifest().
//
// Throws Error(kIo) if something cannot be written or an input changed since it was read.
BundleFiles write_bundle(const Draft& draft, const std::filesystem::path& folder, unsigned threads,
                         const ProgressFn& progress = {});

// Returns what write_bundle() would write, to the byte; composes all small files, writes nothing.
BundleFiles measure_bundle(const Draft& draft, unsigned threads);

}  // namespace wshare
