#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "format/bundle_files.h"
#include "format/manifest/manifest.h"

namespace wshare {

// In the .onnx of an archived model, what external data is in; the offset is the number of
// the tensor in ArchivedRecord::tensors. There is no such file.
inline constexpr char kArchivedTensors[] = "archived";

// Returns `graph`, the .onnx of a model that is to be archived, compressed. Throws
// Error(kUnsupported) if it compresses better than unpack_graph() takes.
std::string pack_graph(std::string_view graph);

// Returns the .onnx of `model`, one of the bundle that has `files`. Memory: at most 64 MiB and 64
// bytes for each compressed one.
//
// Throws Error(kInvalid) if it is not the one that the manifest says, what StoredFiles::bytes()
// throws.
std::string unpack_graph(const ArchivedRecord& model, const StoredFiles& files);

}  // namespace wshare
