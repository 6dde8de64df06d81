#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "format/manifest/manifest.h"
#include "wshare/verify.h"

namespace wshare {

using BlobNumbers = std::unordered_map<std::string_view, int64_t>;

// The blobs of `manifest`, which the result borrows, by their files.
BlobNumbers number_blobs(const Manifest& manifest);

// Returns a finding for each place where the references of `model`, whose file's bytes are `file`,
// and its tensors in the manifest are not the same multiset. `buffers` are what kernels packed of
// it, none where it is no pack.
//
// Throws Error(kInvalid) if `file` is no ONNX model.
std::vector<Damage> find_wrong_references(const BlobNumbers& blobs, const ModelRecord& model,
                                          std::span<const BufferRecord> buffers,
                                          std::span<const std::byte> file);

// The same for `model`, whose .onnx is `graph`; messages say nothing of files.
std::vector<Damage> find_wrong_archived_references(const ArchivedRecord& model,
                                                   std::span<const std::byte> graph);

}  // namespace wshare
