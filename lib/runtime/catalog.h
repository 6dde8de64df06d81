#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/bundle_state.h"
#include "runtime/pack_fit.h"
#include "runtime/task_adapter.h"

namespace wshare {

// Who will make a session, and how.
struct PlanRequest {
  std::string onnxruntime;  // its version, "1.32.0"
  PackUse use;
  std::string optimization;   // that its options ask for: "basic", "extended", "all"; "": any
  bool takes_buffers = true;  // its options may be given files in memory
};

// One way to make a session: with what InferenceSession of any ONNX Runtime is given.
struct Way {
  const PackRecord* pack = nullptr;  // to open, with graph optimisation off; null: the model itself
  std::vector<uint32_t> lent;        // blobs to be given as files in memory, with kTakeInPlaceEntry
};

struct PackVerdict {
  const PackRecord* pack;
  std::string why_not;  // "": a session can be made over it
};

// How a session of one model is made. Keeps the state of the bundle that it speaks of. To be moved,
// not copied: it points into `part`.
struct SessionPlan {
  std::shared_ptr<const OpenBundle> opened;
  std::shared_ptr<BundleState> bundle;
  ModelPart part;
  std::vector<PackVerdict> packs;  // in the order in which they are to be tried
  std::vector<Way> ways;           // best first; one over a pack may fail, then the next is taken
  std::string why;                 // no pack is among them

  // To be called when a session was made: throws Error(kIo) if the bundle has changed meanwhile.
  void check() const;
};

// The adapter of a task, for a session that was made by a plan.
struct PlannedTask {
  std::shared_ptr<BundleState> bundle;  // whose folder the adapter is in
  TaskRecord record;
  std::string file;  // "": the task equals its base
};

// A bundle for those who make sessions with an ONNX Runtime that is not ours (Python's own, say).
// Nothing here needs one. All functions may be called by several threads.
class Catalog {
 public:
  // Throws what Bundle::open() throws.
  static Catalog open(const std::filesystem::path& folder);

  // As Bundle::reload() and Bundle::models().
  bool reload() { return opened_->reload(); }
  std::vector<std::string> models() const { return opened_->now()->manifest.models(); }

  // Returns the names of the tasks that run on a session of `base`.
  std::vector<std::string> tasks(const std::string& base) const;

  // Returns how a session of `model` is made. The files that it opens are there and the manifest's:
  // sizes, and hashes of models. Bytes of weights are not looked at.
  //
  // Throws Error(kInvalid) if there is no such model or a file is another one, Error(kIo) if one is
  // missing, Error(kUnsupported) if the process has no room for the maps.
  SessionPlan plan(const std::string& model, const PlanRequest& request) const;

 private:
  explicit Catalog(std::shared_ptr<OpenBundle> opened) : opened_(std::move(opened)) {}

  std::shared_ptr<OpenBundle> opened_;
};

// Returns the adapter of `task` for a session by `plan` with `inputs`; of the bundle as it is now,
// if it was reloaded and has the same base still.
//
// Throws Error(kInvalid) if there is no such task, its file is not the manifest's or it does not
// fit the inputs; Error(kIo) if it is missing.
PlannedTask plan_task(const SessionPlan& plan, const std::string& task,
                      const SessionInputs& inputs);

}  // namespace wshare
