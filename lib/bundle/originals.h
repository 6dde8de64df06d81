#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "format/manifest.h"
#include "format/restore_record.h"
#include "model/tensors.h"

namespace wshare {

// The place of each tensor of one model, none for those that stay in it: Plan::extents[model].
using Places = std::vector<std::optional<Extent>>;

// What the external files of all models hold beside tensors in blobs.
struct ExternalRest {
  // Bytes that belong to no tensor in a blob and are not all zero; ExternalPiece of kind kGap
  // refers here.
  std::vector<std::span<const std::byte>> gaps;
  std::map<FileId, std::vector<ExternalPiece>> pieces;  // gaps and zeros of each file
};

// A model that restore gives back, and which of its tensors lie in blobs; [tensor].
struct OriginalPlaces {
  const ScannedModel* model;
  Places places;  // may be longer
};

// Returns what `originals` need beside tensors; the first gap gets the number `first_gap`.
ExternalRest find_external_rest(const std::vector<OriginalPlaces>& originals, size_t first_gap = 0);

// Returns what gives `model` back. Tensors are named by their number among those with a place.
RestoreRecord describe_original(const ScannedModel& model, const Places& places,
                                const ExternalRest& rest);

}  // namespace wshare
