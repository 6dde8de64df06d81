#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bundle/distinct.h"
#include "bundle/plan.h"
#include "bundle/source_folders.h"
#include "bundle/task.h"
#include "format/bundle_files.h"
#include "model/externalize.h"
#include "model/scan.h"
#include "wshare/models.h"
#include "wshare/progress.h"

namespace wshare {

struct DraftOptions {
  uint64_t min_bytes = 1024;  // smaller tensors stay in their models
  unsigned threads = 0;       // 0: all cores
  ProgressFn progress;
};

// Changes a graph; is given the places of ModelRewrite::added.
using GraphEdit = std::function<void(onnx::ModelProto&, std::span<const ExternalReference>)>;

// What changes in a model on its way into a bundle beside the places of its tensors.
struct ModelRewrite {
  std::map<size_t, Bytes> substitutes;  // [tensor]: what takes the place of its bytes; same size
  std::vector<TensorRef> added;         // come with the edit; all go into a blob
  GraphEdit apply;                      // called on the graph before it is written
  bool is_original = true;              // false: nothing of the model itself is to be restored
  size_t renames = 0;                   // nodes that only rename a weight and go
};

// Bytes that the bundle holds already, for models that come to it.
struct StoredExtent {
  Extent extent;
  ContentHash hash;  // as the manifest says
  Bytes bytes;
};

// A file that nodes name: it lies beside the models under that name.
struct SideFile {
  std::string name;
  Bytes bytes;
  std::optional<uint32_t> stored;  // the blob of the bundle that it is already
};

// The bundle that a draft is to be added to.
struct DraftStart {
  Manifest manifest;
  std::shared_ptr<const StoredFiles> files;  // what spans of `stored` borrow from
  std::vector<StoredExtent> stored;          // what new models may point to; each extent once
  std::vector<std::string> names;            // that no new file may take
  RestoredPaths restored;                    // where originals must not go
  // Of a model of the bundle that is the base of new tasks: the bytes of its .onnx. The draft's
  // first model is then that one, with its tensors where they lie; it is not written again.
  std::optional<std::string> base_file;
  // Not null: the bundle that this is, of which a new one keeps the blobs (bundle/like.h);
  // `manifest` then has these blobs and no more.
  std::shared_ptr<const Manifest> like;
};

// Models on their way into a bundle: read, compared, every tensor with its place. Nothing is
// written yet. Spans in it point into the maps of `models`.
struct Draft {
  std::vector<ModelInput> inputs;
  std::vector<ScannedModel> models;  // parallel to inputs
  Contents contents;                 // of the tensors that leave their models
  std::vector<PlanModel> planned;    // [m].tensors[t] belongs to models[m].tensors[t], those of
                                     // edits[m].added follow
  Plan plan;
  std::map<size_t, ModelRewrite> edits;  // [model]
  std::vector<DraftTask> tasks;
  std::vector<SideFile> side_files;
  std::optional<DraftStart> start;  // none: the bundle is new

  // The first model that is written.
  size_t first_new() const { return start && start->base_file ? 1 : 0; }
};

// Reads `inputs` and finds a place for each tensor, as dedupe() does unless told otherwise; every
// byte of the weights is read once.
//
// Throws what scan_model() throws.
Draft make_draft(std::vector<ModelInput> inputs, const DraftOptions& options);

// Reads `inputs` on up to `threads` threads.
std::vector<ScannedModel> scan_all(const std::vector<ModelInput>& inputs, unsigned threads);

// Finds a place for each tensor of draft.models, which have been read, and of draft.edits, and
// names for the files of draft.tasks. With draft.start, tensors that the bundle has stay there; of
// its bytes only those are read that may be equal to a tensor's.
//
// Throws Error(kInvalid) if bytes in the bundle that are to be used do not have their hash.
void place_tensors(Draft& draft, const DraftOptions& options);

// Returns the models that use each content, in order: users_of(draft)[content].
std::vector<std::vector<uint32_t>> users_of(const Draft& draft);

// Returns why `tensor` stays in its model, or nothing if it goes into a blob.
std::optional<InlineReason> reason_to_stay(const TensorRef& tensor, uint64_t min_bytes);

// What the files of the inputs hold; a file that several models use, or one with several names,
// counts once in `total`.
struct InputBytes {
  std::vector<uint64_t> of_model;  // the model file and its external files
  uint64_t total = 0;
};
InputBytes input_bytes(std::span<const ScannedModel> models);

}  // namespace wshare
