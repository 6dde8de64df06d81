#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "bundle/draft.h"
#include "bundle/plan.h"
#include "bundle/write.h"

// A bundle that is made anew and keeps the blobs of another one, OLD, which was published: files
// that are the same need not travel again.
//
//   OLD's tensors take part in the comparison ─ a content that it has stays in its blob, unless
//   most of that blob is of no use any more ─ new blobs for the rest ─ OLD's blobs, whole, into the
//   new bundle's folder
//
// Then the .onnx files are those of OLD, too, since they refer to the same places.

namespace wshare {

// Returns the blobs of tensors of the bundle in `folder` as the start of a draft that has none of
// its models. Throws as make_start() does.
DraftStart make_like_start(const std::filesystem::path& folder);

// Takes stored places out of `contents` that lie in blobs of which tensors use less than half, and
// returns the names of the blobs that stay.
std::vector<std::string> keep_worthwhile(const Draft& draft, std::vector<PlanContent>& contents);

// Completes `files`, as write_bundle() has made them of `draft` in `folder` (none: only measured):
// the blobs of OLD that models use come along, by hard link where that can be, the others are
// forgotten, and the manifest is written. Returns the bytes of those blobs.
//
// Throws Error(kIo).
uint64_t take_over_blobs(const Draft& draft, BundleFiles& files,
                         const std::optional<std::filesystem::path>& folder, unsigned threads);

}  // namespace wshare
