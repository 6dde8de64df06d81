#pragma once

// All records of manifest.json in one header, since each is made of others.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "format/quantisation.h"
#include "util/content_hash.h"
#include "util/shared_array.h"

namespace wshare {

// 6 where there are archived models, tensors that are quantised or turned, or residuals with a
// codec above 1; 5 where a model has several packs; 4 where something is needed that is no extent:
// SourceRecord::blobs, ModelRecord::files; 3 where there are packs, 2 where there are tasks,
// else 1.
inline constexpr int kFormatVersion = 6;
inline constexpr char kManifestName[] = "manifest.json";

// A range of bytes of one blob.
struct Extent {
  uint32_t blob = 0;  // index in Manifest::blobs
  uint64_t offset = 0;
  uint64_t size = 0;
  bool operator==(const Extent&) const = default;
};

// A file of tensor bytes, or of what restore needs. Never edited once a manifest names it.
struct BlobRecord {
  std::string file;
  uint64_t size = 0;
  // Of the whole file, where its bytes are not all extents: adapters, residuals.
  std::optional<ContentHash> hash = std::nullopt;
};

// A tensor whose bytes lie in a blob.
struct TensorRecord {
  Text scope;  // "" for the main graph, else the path of the subgraph: "If#3.then_branch"
  Text name;
  Shape shape;
  Extent extent;
  ContentHash hash;
  int32_t dtype = 0;  // TensorProto.DataType
  // True when ONNX Runtime's optimisers read the bytes (every input of some consumer is constant),
  // so that a session must load the tensor itself instead of taking it from a shared buffer.
  bool folded = false;
  // True where the original has the transpose of this matrix: another tensor stands for both.
  bool turned = false;
};

// Where a model came from and what gives the original back (docs/bundle-format.md, "Restore
// records").
struct SourceRecord {
  std::string folder;  // "" when all models of the run came from one folder
  std::string file;
  uint64_t size = 0;
  ContentHash graph_hash;  // of all bytes of the original file but the payloads that lie in blobs
  Extent record;           // compressed
  ContentHash record_hash;
  std::vector<uint32_t> blobs = {};  // others than that of `record` that its gaps lie in; rising
};

struct ModelRecord {
  std::string name;
  std::string file;
  uint64_t size = 0;
  ContentHash hash;
  // None where a task's record gives the original back, or there was no original.
  std::optional<SourceRecord> source;
  std::vector<TensorRecord> tensors;
  // Blobs that nodes name as files beside the model, so that their names stay; rising.
  std::vector<uint32_t> files = {};
};

// A stored matrix that a derived tensor is computed from.
struct MatrixRecord {
  Extent extent;
  int32_t dtype = 0;
  bool transposed = false;  // stored as [columns, rows] of what it stands for
};

// What a quantised tensor is computed of, beside its base.
struct QuantisedRecord {
  MatrixRecord scale;
  std::optional<MatrixRecord> zero;  // integers, or floats
  Quantisation how;
};

// How the tensor of a chain follows from the one before it, of the same type and shape.
struct StepRecord {
  double multiplier = 1;  // of the one before
  Extent residual;        // empty: nothing is missed
};

// How a tensor of an original is computed: docs/bundle-format.md, "Derived tensors".
struct DerivationRecord {
  std::optional<MatrixRecord> base;
  double multiplier = 1;
  uint64_t rank = 0;  // of left and right, which are there unless it is 0
  std::optional<MatrixRecord> left, right;
  std::optional<QuantisedRecord> quantised;  // then there is a base of that multiple, and no rank
  Extent residual;                           // empty: the prediction is exact, or `exact` is false
  std::vector<StepRecord> then;              // from what that gives to the tensor, in order
  int codec = 1;                             // of the prediction and its residual: residual.h
  bool exact = true;
  double relative_error =
      0;  // of the stored factors: ||what they miss|| / ||difference||, Frobenius
  double max_abs_error = 0;

  // What is missed last: nobody else's.
  const Extent& own_residual() const { return then.empty() ? residual : then.back().residual; }
};

// A tensor of an original whose bytes are not literal in its restore record: at `extent`, or
// derived.
struct OriginalTensor {
  Text scope, name;
  int32_t dtype = 0;
  Shape shape;
  ContentHash hash;
  std::optional<Extent> extent;
  std::optional<DerivationRecord> derivation;
  bool turned = false;  // as in TensorRecord: the original has the transpose of this
  bool folded = false;  // of an archived model: as in TensorRecord
};

// A value that an adapter feeds.
struct ParameterRecord {
  Text name;
  int32_t dtype = 0;
  Shape shape;
};

// One task of an extracted bundle: an adapter over the session of `base`, or a model of its own.
struct TaskRecord {
  std::string name;
  std::string base;                         // a model of the bundle
  std::string model;                        // a model of the bundle, or empty
  std::optional<uint32_t> adapter;          // index in Manifest::blobs
  std::vector<ParameterRecord> parameters;  // of the adapter
  // None where `model` has it. Its record is compressed against the .onnx of `model`, else of
  // `base`, and counts `tensors`.
  std::optional<SourceRecord> source;
  std::vector<OriginalTensor> tensors;
};

// A model that nothing runs, kept as what can be computed from others: its tensors lie in blobs or
// are derived from what lies there.
struct ArchivedRecord {
  std::string name;
  std::string base;  // the model that most is derived from, in words; "": none
  // Its .onnx, compressed; external data in it is numbered (docs/bundle-format.md, "archived[]").
  Extent graph;
  ContentHash graph_hash;  // of the compressed bytes
  uint64_t size = 0;       // of the .onnx
  ContentHash hash;
  std::optional<SourceRecord> source;  // always there; compressed against that .onnx
  std::vector<OriginalTensor> tensors;
  std::vector<uint32_t> files = {};  // as in ModelRecord
};

// Bytes that a kernel made of a weight.
struct BufferRecord {
  Extent extent;
  ContentHash hash;
};

// What an ONNX Runtime made of a model ahead of time: its graph optimised, its weights also as the
// kernels of one kind of CPU pack them. Another runtime or CPU has no use for it.
struct PackRecord {
  // Its name is the model's, its file the optimised one; without a source.
  ModelRecord model;
  std::vector<BufferRecord> buffers;  // what model.file refers to beside its tensors
  ContentHash made_of;                // hash of the model's own file
  std::string onnxruntime;            // version
  std::string cpu;                    // cpu_features() of the machine
  std::string optimization;           // "basic", "extended" or "all"
  uint64_t own_bytes = 0;  // of weights that each session packs for itself: none could be stored
};

// A range of a blob that no tensor uses: bytes between the tensors of an external file, which
// restore needs, or what a removed model has left.
struct GapRecord {
  Extent extent;
  ContentHash hash;
};

// The index of a bundle; a bundle is what its manifest says.
struct Manifest {
  std::vector<BlobRecord> blobs;
  std::vector<ModelRecord> models;
  std::vector<TaskRecord> tasks;
  std::vector<ArchivedRecord> archived;
  std::vector<PackRecord> packs;  // of a model, one for each ONNX Runtime and CPU
  std::vector<GapRecord> gaps;
  // Names of files that earlier manifests in this folder named: no new file may take one.
  std::vector<std::string> retired;
  // Files of the bundle that this one is a part of, and that it lacks; sorted. What only they give
  // is not here: originals, other models.
  std::vector<std::string> left_out = {};
};

// Returns the bytes of `extent` inside `blob`. Throws Error(kInvalid) if any lies outside.
std::span<const std::byte> slice(std::span<const std::byte> blob, const Extent& extent);

// Gives the bytes of an extent, which live as long as what they were asked of.
using BytesOf = std::function<std::span<const std::byte>(const Extent&)>;

// Returns the model called `name`, or null.
const ModelRecord* model_called(const Manifest& manifest, std::string_view name);
ModelRecord* model_called(Manifest& manifest, std::string_view name);

// Returns the record of the model called `name`.
//
// Throws Error(kInvalid) that lists the names if there is no such model, and says so if it is
// archived.
const ModelRecord& find_model(const Manifest& manifest, std::string_view name);
[[noreturn]] void fail_no_model(std::string_view name, const std::vector<std::string>& names);
[[noreturn]] void fail_archived(std::string_view name);

// Returns the archived model called `name`, or null.
const ArchivedRecord* find_archived(const Manifest& manifest, std::string_view name);

// True if the task is an adapter over its base, or equal to it.
bool is_over_base(const TaskRecord& task);

// Returns the task called `name`, or nothing.
const TaskRecord* find_task(const Manifest& manifest, std::string_view name);

// Returns the bytes that `buffers` lie in, each range once.
uint64_t distinct_bytes(const std::vector<BufferRecord>& buffers);

}  // namespace wshare
