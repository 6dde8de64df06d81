#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "format/manifest/manifest.h"
#include "format/restore_record.h"
#include "model/scan.h"

namespace wshare {

// The place of each tensor of one model, none for those that stay in it: Plan::extents[model].
using TensorExtents = std::vector<std::optional<Extent>>;

// Bytes of an external file that no tensor of the models that restore puts beside it holds.
struct ExternalGap {
  std::span<const std::byte> bytes;
  ContentHash hash;
  std::optional<Extent> stored;  // where blobs have them already: the file has other names
};

// What the external files of all models hold beside tensors in blobs.
struct ExternalRest {
  // Each content once; not all zero. ExternalPiece of kind kGap refers here.
  std::vector<ExternalGap> gaps;
  // Gaps and zeros of each file, by the path that restore gives it.
  std::map<std::filesystem::path, std::vector<ExternalPiece>> pieces;
};

// A model that restore gives back, and which of its tensors lie in blobs; [tensor].
struct StoredOriginal {
  const ScannedModel* model;
  TensorExtents extents;                // may be longer
  std::string folder = {};              // where restore puts it, SourceRecord::folder
  std::vector<Extent> side_files = {};  // whole blobs, of external files that nodes name, in order
};

// Returns what `originals` need beside tensors; the first gap gets the number `first_gap`.
ExternalRest find_external_rest(const std::vector<StoredOriginal>& originals, size_t first_gap,
                                unsigned threads);

// Returns the numbers of the gaps that `original` needs.
std::vector<uint64_t> gaps_of(const StoredOriginal& original, const ExternalRest& rest);

// Returns what gives `original` back. Tensors are named by their number among those with a place.
RestoreRecord describe_original(const StoredOriginal& original, const ExternalRest& rest);

}  // namespace wshare
