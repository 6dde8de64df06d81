#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "wshare/inspected.h"
#include "wshare/progress.h"

namespace wshare {

// Ten thousand models share with each other in fifty million ways: so far lists of that are whole.
inline constexpr size_t kMostCompared = 500;
inline constexpr size_t kMostNamed = 50;    // in InspectedTensor::also_in
inline constexpr size_t kMostRelated = 50;  // so many models are looked at for `relations`

struct InspectOptions {
  bool recursive = false;     // ResolveOptions::recursive
  uint64_t min_bytes = 1024;  // smaller tensors stay in their models, as in dedupe
  uint64_t top = 10;          // length of InspectedModel::largest
  bool all = false;           // true: also lists that grow with models x models are whole
  bool hash = true;           // false: structure only, weights are not read
  bool contents = false;      // fill Inspection::contents and InspectedTask::weights
  unsigned threads = 0;       // 0: all cores
  ProgressFn progress;
};

struct Inspection {
  // False: no weights were read, as asked or since a model cannot be read as a whole (external data
  // is incomplete, a graph has two initializers of one name), so that nothing is known of equal
  // contents: distinct, shared and predicted bytes are 0, lists of them empty.
  bool compared = true;
  std::string bundle;  // the folder as given, when one bundle was looked at; else empty
  std::vector<std::string> left_out;  // of given folders, and why; as resolve_inputs() says it
  std::vector<InspectedModel> models;
  // Of all files, each once; for a bundle the sum over its models, archived ones as they were, and
  // for each task with an adapter what it and its base have.
  uint64_t input_bytes = 0;
  uint64_t total_bytes = 0;                  // of all tensors of all models
  uint64_t distinct_bytes = 0;               // the same, equal contents counted once
  uint64_t shared_bytes = 0;                 // used by two models or more, once
  std::optional<uint64_t> transposed_bytes;  // of `twins`; none for a bundle: weights were not read
  uint64_t predicted_bundle_bytes = 0;       // what dedupe would write; for a bundle what it has
  std::vector<Duplicate> duplicates;         // largest saving first
  std::vector<TransposedTwin> twins;         // largest first
  std::vector<ModelRelation> relations;      // in the order of models
  std::optional<ExtractEstimate> extract;    // of several models; none: nothing looks like LoRA
  std::vector<Finding> findings;             // by id
  std::vector<InspectedContent> contents;    // with InspectOptions::contents; largest first
  std::vector<InspectedBlob> blobs;          // of a bundle
  std::vector<InspectedTask> tasks;          // of a bundle
  std::vector<InspectedPack> packs;          // of a bundle
  std::vector<InspectedArchive> archived;    // of a bundle
  // Models that are compared with each other: numbers in `models`, rising. All of up to
  // kMostCompared, with InspectOptions::all of any number, else those that share most.
  std::vector<size_t> compared_models;
  // [i][j]: bytes in blobs that compared_models[i] and [j] both use; [i][i]: that it uses.
  std::vector<std::vector<uint64_t>> matrix;
};

// Looks at what `paths` name: models as in resolve_inputs(), or bundles.
//
// One bundle alone is described from its manifest, without reading weights. Among several paths a
// bundle counts as the models in it. Nothing is written; the answer does not depend on threads.
// Throws what resolve_inputs() throws; Error(kInvalid) if an input is malformed, Error(kIo) if one
// cannot be read or changes meanwhile, Error(kUnsupported) if a bundle is of a newer version.
Inspection inspect(const std::vector<std::string>& paths, const InspectOptions& options);

}  // namespace wshare
