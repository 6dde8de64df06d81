#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "format/manifest/manifest.h"
#include "format/restore_record.h"

namespace wshare {

// Where what gives an original back stands.
struct PackedOriginal {
  std::string name;
  SourceRecord* source;  // in the manifest
  size_t model;          // index of the model whose .onnx the record is compressed against, behind
                         // the last model that of an archived one
};

// Returns those of all models, of all tasks, then of all archived models, of `manifest`, which
// outlives them.
std::vector<PackedOriginal> packed_originals(Manifest& manifest);

// Returns the record of `original`, whose packed bytes are `bytes`, against `model`, that .onnx.
//
// Throws Error(kInvalid) if it is damaged.
RestoreRecord unpack_original(const PackedOriginal& original, std::span<const std::byte> bytes,
                              std::string_view model);

// Calls visit(piece) for the pieces of `record` that are gaps.
void visit_gaps(RestoreRecord& record, const std::function<void(ExternalPiece&)>& visit);

}  // namespace wshare
