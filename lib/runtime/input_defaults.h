#pragma once

#include <onnxruntime_cxx_api.h>

#include <cstddef>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "format/manifest/manifest.h"

namespace wshare {

// Returns what the inputs `names` of a model hold when a run leaves them out: its initializers of
// these names, as copies. A name that is no initializer of the main graph is left out.
//
// `model` holds the bytes of the .onnx of `record`, `bytes_of` gives what lies in blobs.
// Throws Error(kInvalid) if the bytes are not what type and shape need.
std::map<std::string, Ort::Value> read_defaults(std::span<const std::byte> model,
                                                const ModelRecord& record, const BytesOf& bytes_of,
                                                const std::set<std::string>& names);

}  // namespace wshare
