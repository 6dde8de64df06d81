#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "format/manifest/manifest.h"

namespace wshare {

// Where the records of one kind stand in the text of a manifest, by their names: 32 bytes each,
// beside the name.
class RecordPlaces {
 public:
  // Adds the object `record`, a part of `text`. Throws Error(kInvalid) if it has no name.
  void add(std::string_view text, std::string_view record);
  // To be called after the last add(). Returns a name that two records have, if there is one.
  std::optional<std::string> seal();

  size_t size() const { return places_.size(); }
  // In the order of the text.
  std::string_view name(size_t i) const;

  // Returns the texts of the records called `name`; `text` is what all were found in.
  std::vector<std::string_view> find(std::string_view text, std::string_view name) const;
  bool contains(std::string_view name) const { return !find_numbers(name).empty(); }

 private:
  struct Place {
    size_t at, size;  // in the text
    size_t name_end;  // in names_
  };
  std::span<const size_t> find_numbers(std::string_view name) const;

  std::string names_;
  std::vector<Place> places_;
  std::vector<size_t> by_name_;  // those of one name in the order of the text
};

// A manifest of which models and packs are only found, not read: what is there of ten thousand
// takes a megabyte.
struct ManifestIndex {
  std::shared_ptr<const std::vector<BlobRecord>> blobs;
  std::vector<TaskRecord> tasks;  // without their tensors
  RecordPlaces models, archived, packs;
};

// What a manifest says of one model.
struct ModelPart {
  ModelRecord model;
  std::vector<PackRecord> packs;
};

// Returns the index of the manifest `json`.
//
// Throws what parse_manifest() throws, but for what is wrong in records of models and packs, in
// gaps and in tensors of tasks, and for file names that are given twice.
ManifestIndex index_manifest(std::string_view json);

// Returns the records of the model called `name`, which must be one of `index`, the index of
// `json`.
//
// Throws Error(kInvalid) if what is said of it contradicts itself or the blobs.
ModelPart read_model_part(std::string_view json, const ManifestIndex& index, std::string_view name);

}  // namespace wshare
