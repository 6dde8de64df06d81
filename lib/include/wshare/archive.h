#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "wshare/dedupe.h"
#include "wshare/models.h"
#include "wshare/progress.h"

namespace wshare {

struct ArchiveOptions {
  std::string base;      // the model that all are computed from; empty: the cheapest of each
  bool chain = false;    // whether archived ones may be computed from each other, as checkpoints
  bool dry_run = false;  // estimate from samples, write nothing
  unsigned threads = 0;  // 0: all cores
  // How long to wait for another command that changes the bundle.
  std::chrono::milliseconds wait{10000};
  ProgressFn progress;
};

// How a tensor of an archived model is kept.
enum class ArchiveClass {
  kSame,        // the bundle has the bytes for others, too
  kCast,        // of a tensor of another float type
  kTransposed,  // the transpose of another tensor
  kQuantised,   // integers made of another tensor and the scales of this model
  kMoved,       // another tensor, and what makes the difference
  kStored,      // as it is
};

// Returns "same", "cast", ...
const char* archive_class_name(ArchiveClass kind);

struct ArchivedTensor {
  std::string tensor;  // behind its scope
  ArchiveClass kind = ArchiveClass::kStored;
  std::string base_tensor;      // what it is computed from; empty: nothing
  uint64_t bytes = 0;           // of the tensor
  uint64_t stored_bytes = 0;    // that the archive holds for it, residual included
  uint64_t residual_bytes = 0;  // with dry_run an estimate
};

struct ArchivedModel {
  std::string name;
  std::string base;             // that most is computed from; empty: none
  uint64_t bytes_before = 0;    // of its .onnx and its tensors, equal ones once
  uint64_t archived_bytes = 0;  // of its archive; with dry_run an estimate
  std::vector<ArchivedTensor> tensors;
};

// A model that stays as it is, though no name said so.
struct LeftModel {
  std::string name;
  std::string why;
};

struct ArchiveReport {
  std::vector<ArchivedModel> models;
  std::vector<LeftModel> left;
  uint64_t bytes_before = 0;  // of all files of the bundle
  uint64_t bytes_out = 0;     // with dry_run an estimate
  uint64_t unused_bytes = 0;  // in blobs that stay, needed by nothing any more
};

// Archives the models `names` of the bundle in the folder `bundle`, or without names all that are
// much smaller so, and returns what it did.
//
// An archived model has no .onnx and cannot run; restore() gives its original back byte for byte.
// What another model gives is computed: copied, cast, transposed, or moved by a residual; all else
// is stored. Sessions that are open go on. Throws Error(kInvalid) if there is no such model, tasks
// need it, it came without an original or the bundle is damaged; Error(kIo) if the bundle is none,
// cannot be written to or is being changed by another process for longer than `wait`. The bundle is
// then as it was.
ArchiveReport archive(const std::filesystem::path& bundle, const std::vector<std::string>& names,
                      const ArchiveOptions& options);

struct ArchivedDedupe {
  DedupeReport dedupe;    // bytes_out: of the bundle as it is now
  ArchiveReport archive;  // bytes_before: of the bundle without archives
};

// Makes a bundle of `inputs` as dedupe() does, all of whose models that are much smaller so are
// archived. It appears as a whole or not at all.
//
// Needs the room of the bundle without archives meanwhile. `options.dry_run` must not be set.
// Throws what dedupe() and archive() throw.
ArchivedDedupe dedupe_archived(const std::vector<ModelInput>& inputs,
                               const std::filesystem::path& bundle, const DedupeOptions& options);

}  // namespace wshare
