#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "format/restore_record.h"
#include "model/tensors.h"
#include "util/content_hash.h"

namespace wshare {

// Bytes of an external file that belong to no tensor in a blob and are not all zero.
struct Gap {
  std::span<const std::byte> bytes;
};

// What the originals of all models hold beside tensors in blobs.
struct Originals {
  std::vector<RestoreRecord> records;     // by model
  std::vector<ContentHash> graph_hashes;  // by model: hash of RestoreRecord::literal
  std::vector<Gap> gaps;                  // ExternalPiece of kind kGap refers here
};

// Returns what gives `models` back. `record_index[m][t]` is the index in ModelRecord::tensors of
// tensor t of model m, or nothing when it stays inline.
Originals describe_originals(const std::vector<ScannedModel>& models,
                             const std::vector<std::vector<std::optional<uint32_t>>>& record_index);

}  // namespace wshare
