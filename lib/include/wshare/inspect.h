#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "wshare/progress.h"

namespace wshare {

struct InspectOptions {
  uint64_t min_bytes = 1024;  // smaller tensors stay in their models, as in dedupe
  uint64_t top = 10;          // length of InspectedModel::largest
  bool hash = true;           // false: structure only, weights are not read
  bool contents = false;      // fill Inspection::contents
  unsigned threads = 0;       // 0: all cores
  ProgressFn progress;
};

struct TensorUse {
  std::string model, scope, tensor;
};

// Tensors with something in common: a dtype, a home, an operator, a scope, a reason.
struct TensorCount {
  std::string what;
  uint64_t tensors = 0;
  uint64_t bytes = 0;
};

// A file of external data.
struct InspectedFile {
  std::string file;               // as the model calls it
  std::optional<uint64_t> bytes;  // that it has; none: there is no such file
  uint64_t needed = 0;            // bytes up to the end of the model's last tensor in it
  bool complete() const { return bytes && *bytes >= needed; }
};

struct InspectedTensor {
  std::string scope, tensor, dtype;
  std::vector<int64_t> shape;
  uint64_t bytes = 0;
  std::string home;  // as in docs/cli.md; empty for a model of a bundle
  std::string op;    // of the first node that reads it; empty if none does, or unknown
  std::vector<std::string> also_in;  // other models that use the same bytes
};

// Lists of TensorCount are sorted by bytes, largest first, then by name.
struct InspectedModel {
  std::string name, path;
  uint64_t bytes = 0;         // the model file and its external files
  uint64_t tensor_bytes = 0;  // of all tensors, also those that cannot leave the model
  uint64_t tensors = 0;
  // Of tensors with a place in a blob, bytes that occur several times in the model counted once:
  uint64_t own_bytes = 0;       // no other model uses them
  uint64_t shared_bytes = 0;    // some other model does
  uint64_t repeated_bytes = 0;  // what counting each once left out
  // Of a model of a bundle: its file and the blobs that nothing else needs. None if a task needs
  // it.
  std::optional<uint64_t> freed_bytes;
  std::vector<TensorCount> by_dtype, by_home, by_op, by_scope;
  std::vector<TensorCount> left_inline;  // by reason
  std::vector<InspectedTensor> largest;
  std::vector<InspectedFile> external;
};

// A content that several tensors have.
struct Duplicate {
  std::string hash;
  uint64_t bytes = 0;
  std::vector<TensorUse> uses;  // at least two, in the order of models and tensors
  uint64_t saved() const { return bytes * (uses.size() - 1); }
};

// Two matrices, one the transpose of the other; the first tensor that has each.
struct TransposedTwin {
  uint64_t bytes = 0;
  TensorUse tensor, transpose_of;
};

// Something odd in what was looked at; docs/findings.md explains each id.
struct FindingKind {
  const char* id;     // "WS012"
  const char* title;  // a few words
};
std::span<const FindingKind> finding_kinds();  // by id

struct FindingPlace {
  TensorUse use;  // of the first tensor that has the bytes; no tensor: of a file or a model
  std::string file;
  uint64_t bytes = 0;  // what it costs
  std::string note;
};

struct InspectFinding {
  std::string id;
  uint64_t bytes = 0;                // of all places
  std::vector<FindingPlace> places;  // at least one, the largest first
};

// A content with a place of its own, for a picture of all bytes.
struct InspectedContent {
  InspectedTensor tensor;        // the first that has it; without also_in
  uint64_t uses = 0;             // tensors that have it
  std::vector<uint32_t> models;  // indices of Inspection::models, rising
};

struct InspectedBlob {
  std::string file;
  uint64_t bytes = 0;
  // Whose sessions read it: models, of an adapter its task; none for what only restore reads.
  std::vector<std::string> models;
};

// A task of a bundle that extract-lora made. A file is empty where the task has none.
struct InspectedTask {
  std::string name, base;
  std::string adapter, model;  // files
  uint64_t adapter_bytes = 0, residual_bytes = 0;
  uint64_t freed_bytes = 0;  // its adapter, residual and own model
  uint64_t parameters = 0;   // of the adapter
  bool restorable = true;    // false: restore gives it back approximately
};

// A model of which extract-lora might make a small adapter; sizes are estimates.
struct ExtractableTask {
  std::string model;
  uint64_t weights = 0;                            // that look like the base's plus a low rank
  uint64_t bytes = 0;                              // of them
  uint64_t adapter_bytes = 0, residual_bytes = 0;  // what would take their place
  int64_t largest_rank = 0;
};
struct ExtractEstimate {
  std::string base;  // the model that shares most
  std::vector<ExtractableTask> tasks;
  uint64_t saved_bytes = 0;  // of predicted_bundle_bytes
};

struct Inspection {
  // False: no weights were read, as asked or since external data is incomplete, so that nothing is
  // known of equal contents: distinct, shared and predicted bytes are 0, lists of them empty.
  bool compared = true;
  std::string bundle;  // the folder as given, when one bundle was looked at; else empty
  std::vector<InspectedModel> models;
  // Of all files, each once; for a bundle the sum over its models, and for each task with an
  // adapter what it and its base have.
  uint64_t input_bytes = 0;
  uint64_t total_bytes = 0;                  // of all tensors of all models
  uint64_t distinct_bytes = 0;               // the same, equal contents counted once
  uint64_t shared_bytes = 0;                 // used by two models or more, once
  std::optional<uint64_t> transposed_bytes;  // of `twins`; none for a bundle: weights were not read
  uint64_t predicted_bundle_bytes = 0;       // what dedupe would write; for a bundle what it has
  std::vector<Duplicate> duplicates;         // largest saving first
  std::vector<TransposedTwin> twins;         // largest first
  std::optional<ExtractEstimate> extract;    // of several models; none: nothing looks like LoRA
  std::vector<InspectFinding> findings;      // by id
  std::vector<InspectedContent> contents;    // with InspectOptions::contents; largest first
  std::vector<InspectedBlob> blobs;          // of a bundle
  std::vector<InspectedTask> tasks;          // of a bundle
  // [i][j]: bytes in blobs that models i and j both use; [i][i]: that model i uses.
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
