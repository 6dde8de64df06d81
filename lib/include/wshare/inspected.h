#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "wshare/inspect_finding.h"

namespace wshare {

// What an Inspection (wshare/inspect.h) is made of.

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
  // Other models that use the same bytes: up to kMostNamed, of models that are not compared none,
  // and how many more.
  std::vector<std::string> also_in;
  uint64_t also_in_more = 0;
};

// Lists of TensorCount are sorted by bytes, largest first, then by name.
struct InspectedModel {
  std::string name, path;
  std::string same_as;  // the first model whose files hold the same; empty: none, or not known
  uint64_t bytes = 0;   // the model file and its external files
  uint64_t tensor_bytes = 0;  // of all tensors, also those that cannot leave the model
  uint64_t tensors = 0;
  // Of tensors with a place in a blob, bytes that occur several times in the model counted once:
  uint64_t own_bytes = 0;       // no other model uses them
  uint64_t shared_bytes = 0;    // some other model does
  uint64_t repeated_bytes = 0;  // what counting each once left out
  // Its part of what storing each content once saves: all repeated bytes, and of bytes that k
  // models use, one of them this, 1 - 1/k.
  uint64_t saved_bytes = 0;
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

// A content with a place of its own, for a picture of all bytes.
struct InspectedContent {
  InspectedTensor tensor;        // the first that has it; without also_in
  std::string stays;             // why it stays in its model file; empty: it can be shared
  uint64_t uses = 0;             // tensors that have it
  std::vector<uint32_t> models;  // indices of Inspection::models, rising
};

struct InspectedBlob {
  std::string file;
  uint64_t bytes = 0;
  // Whose sessions read it: models, of an adapter its task; none for what only restore reads.
  std::vector<std::string> models;
  bool of_packs = false;  // only packs use it
};

// A weight of a task that is a base's plus a low rank.
struct InspectedTaskWeight {
  std::string tensor;  // of the original, or the module of a pair that was never merged
  uint64_t rank = 0;
  double relative_error = 0;  // of the factors, Frobenius; 0 where nothing was merged
  uint64_t residual_bytes = 0;
  std::vector<double> strengths;  // singular values that the factors hold, falling; may be empty
};

// A task of a bundle that extract-lora made. A file is empty where the task has none.
struct InspectedTask {
  std::string name, base;
  std::string adapter, model;  // files
  uint64_t adapter_bytes = 0, residual_bytes = 0;
  uint64_t freed_bytes = 0;  // its files and blobs that nothing else needs
  uint64_t parameters = 0;   // of the adapter
  bool restorable = true;    // false: restore gives it back approximately, or there is no original
  std::vector<InspectedTaskWeight> weights;  // with InspectOptions::contents
};

// What `wshare pack` made of a model of a bundle.
struct InspectedPack {
  std::string model, file;
  uint64_t bytes = 0;         // of its file and what it uses of blobs that only packs use
  uint64_t packed_bytes = 0;  // of these: that kernels use as they are
  std::string onnxruntime, cpu, optimization;  // what it is for
  bool current = true;                         // false: the model has another file now
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

// A model that is another one in another form, so that `wshare archive` would make it small.
struct ModelRelation {
  std::string model, of;
  std::string kind;              // "moved" by training, "cast", "quantised"
  uint64_t weights = 0;          // tensors that are computed from the other model's
  uint64_t weights_total = 0;    // that it does not share with others as they are
  uint64_t own_bytes = 0;        // of these
  uint64_t predicted_bytes = 0;  // that its archive would have
};

// An archived model of a bundle.
struct InspectedArchive {
  std::string name, base;       // base: that most is computed from; empty: none
  uint64_t bytes = 0;           // of its .onnx and its tensors
  uint64_t archived_bytes = 0;  // of its archive
};

}  // namespace wshare
