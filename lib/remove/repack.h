#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "format/manifest/manifest.h"
#include "format/restore_record.h"
#include "model/model_file.h"

namespace wshare {

// Where what gives an original back stands.
struct PackedOriginal {
  std::string name;
  SourceRecord* source;  // in the manifest
  size_t model;          // index of the model whose .onnx the record is compressed against
};

// Returns those of all models, then of all tasks, of `manifest`, which outlives them.
std::vector<PackedOriginal> packed_originals(Manifest& manifest);

// Returns the record of `original`, whose packed bytes are `bytes`.
//
// Throws Error(kInvalid) if it is damaged.
RestoreRecord unpack_original(const PackedOriginal& original, std::span<const std::byte> bytes,
                              const ModelFile& model);

// Calls visit(piece) for the pieces of `record` that are gaps.
void visit_gaps(RestoreRecord& record, const std::function<void(ExternalPiece&)>& visit);

}  // namespace wshare
