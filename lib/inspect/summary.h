#pragma once

#include <optional>
#include <string>
#include <vector>

#include "format/manifest/manifest.h"
#include "wshare/inline_reason.h"
#include "wshare/inspect.h"

namespace wshare {

// A tensor of a model, read from the model or from a manifest.
struct TensorRow {
  InspectedTensor tensor;        // also_in is still empty
  std::optional<Extent> extent;  // none: it stays in its model
  ContentHash hash;              // meaningful with an extent
  std::optional<InlineReason> reason;
};

struct ModelRows {
  std::string name, path;
  uint64_t bytes = 0;
  std::vector<InspectedFile> external;
  std::vector<TensorRow> tensors;
};

struct Summary {
  Inspection inspection;
  // Of each model: what it has in common with each other one, added up.
  std::vector<uint64_t> common_bytes;
};

// Returns what follows from the tensors of `models` and their places: the models, total and shared
// bytes, duplicates of at least `min_bytes`, the matrix. `distinct_bytes` counts tensors with a
// place only.
//
// Equal contents must have equal extents; two extents that begin at one byte overlap.
Summary summarise(const std::vector<ModelRows>& models, const InspectOptions& options);

// Says which models are the same as an earlier one. `manifest` is of the same models, in order.
void name_same_models(const Manifest& manifest, Inspection& inspection);

}  // namespace wshare
