#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "inspect/summary.h"
#include "model/scan.h"
#include "util/mapped_file.h"
#include "wshare/models.h"

namespace wshare {

// What a model uses of a file of external data.
struct ExternalUse {
  std::optional<FileId> id;                           // none: there is no such file
  bool in_bundle = false;                             // beside a manifest: others use it, too
  std::vector<std::pair<uint64_t, uint64_t>> ranges;  // offset, size; of each tensor in it
};

// A model without its weights.
struct ModelStructure {
  FileId id;                          // of the model file
  uint64_t model_bytes = 0;           // of it
  uint64_t notes_bytes = 0;           // of metadata and doc strings, which nothing computes with
  ModelRows rows;                     // without extents, hashes and reasons
  std::vector<Home> homes;            // parallel to rows.tensors
  std::vector<bool> used;             // parallel to rows.tensors: something reads it
  std::vector<ExternalUse> external;  // parallel to rows.external
  std::vector<size_t> doubled;        // tensors whose name an initializer of the graph had before
};

// Reads the structure of `input`; tensors in the order of visit_tensors(). Of external files only
// the sizes are looked up, and they may be missing or too short.
//
// Throws Error(kIo) if the model cannot be read, Error(kInvalid) if it is none, an external
// reference is illegal or its shapes need more than 2^48 bytes.
ModelStructure read_structure(const ModelInput& input);

}  // namespace wshare
