#pragma once

// The whole loader: what a service includes is one header, and most of it is what users must know.

#include <onnxruntime_cxx_api.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "wshare/device.h"
#include "wshare/environment.h"

namespace wshare {

// How a session takes the weights that it shares with other sessions of the bundle.
enum class Tier {
  kAuto,     // the best that bundle and machine allow: kPacked, else kShared
  kShared,   // one copy, also of weights packed for the CPU's kernels: full speed, bits of a plain
             // session
  kCompact,  // one copy, nothing packed: least memory, slower matrix products, not bit-equal to a
             // plain one
  // On the CPU, over what `wshare pack` made for this ONNX Runtime and this CPU: one copy of
  // weights and packed forms in the page cache, for all processes. Full speed, bits of a plain
  // session. The pack has its graph optimised; what `ort` says of that does not count.
  kPacked,
};
// "auto", "shared", "compact", "packed".
const char* text_of(Tier tier);

// Takes what ONNX Runtime logs about a session, from level INFO on, from any thread. Must not
// throw.
using LogFunction = std::function<void(OrtLoggingLevel level, std::string_view message)>;

struct SessionOptions {
  Tier tier = Tier::kAuto;
  Ort::SessionOptions
      ort;  // copied for the session; wshare adds the shared initializers to the copy
  // Where the session runs; none: on the CPU. wshare adds its provider to the copy of `ort`, which
  // must name no other, and reads the session's log, which then goes to `log` and nowhere else.
  std::optional<Device> device = std::nullopt;
  DeviceCopies device_copies = DeviceCopies::kRefuse;
  // Gets the log of the session, in place of a logging function in `ort`; empty: that one does, or
  // the environment's.
  LogFunction log = nullptr;
};

// Why ONNX Runtime loads a tensor in a blob for itself, once per session.
enum class LeftReason {
  kSmall,          // under 64 KiB: sharing saves little, and some kernels refuse it
  kFolded,         // optimisers compute with its bytes, and the result is a new tensor
  kAmbiguousName,  // AddInitializer goes by name alone, and the model has the name more than once
  kFunction,       // in a function: each call gets a copy of it with names of its own
  kDtype,          // no value over foreign memory can have this type
  kProvider,       // the provider takes no weights; it reads the file, and shares by itself
};
// "small", "folded", "ambiguous-name", "function", "dtype", "provider".
const char* text_of(LeftReason reason);

struct LeftTensors {
  LeftReason reason = LeftReason::kSmall;
  size_t tensors = 0;
  uint64_t bytes = 0;
};

// What the last session of one model took from the bundle's maps.
struct ModelReport {
  std::string model;
  Tier tier = Tier::kShared;  // that it was made with
  std::string why;            // with Tier::kAuto: why it is not packed; empty: it is
  std::vector<std::string> shared_tensors;
  uint64_t shared_bytes = 0;      // of shared_tensors, one copy for all sessions
  std::vector<LeftTensors> left;  // in the order of LeftReason; only reasons that occur
  uint64_t packed_bytes = 0;      // kPacked: in the form that kernels use, one copy, too
  std::string packed_by = {};     // kPacked: the version of ONNX Runtime that made the pack
  // True if packed forms of shared_tensors are one copy, too. False with Tier::kCompact, which
  // packs nothing, and where Tier::kAuto had to do without, since ONNX Runtime refused.
  bool packed_shared = false;
  std::optional<DeviceReport> device = std::nullopt;  // of a session on a device

  uint64_t left_bytes() const;
};

// What all sessions on one device share there now.
struct DeviceBytes {
  std::string provider;
  uint64_t shared_bytes = 0;
};

struct Report {
  std::vector<ModelReport> models;  // in the bundle's order; only models that a session was made of
  std::vector<DeviceBytes> devices;  // that sessions were made on

  uint64_t device_bytes() const;  // the sum over devices
};

// A session without what keeps its weights: `weights` must outlive it, as it does in here.
struct BareSession {
  std::shared_ptr<const void> weights;
  Ort::Session session;
};

// An Ort::Session together with what its weights need; move-only.
//
// It keeps the bundle's maps alive, so it may outlive the Bundle that made it. To be used like a
// pointer to Ort::Session; Run() may be called by several threads at once, as in ONNX Runtime.
class Session {
 public:
  Session(std::shared_ptr<const void> keep_alive, Ort::Session session)
      : keep_alive_(std::move(keep_alive)), session_(std::move(session)) {}
  Session(Session&&) = default;
  Session& operator=(Session&& other) noexcept;

  Ort::Session* operator->() { return &session_; }
  Ort::Session& operator*() { return session_; }
  operator Ort::Session&() & { return session_; }

  // Hands out the session and what it lies in, for those who need an Ort::Session of their own.
  BareSession release() &&;

 private:
  std::shared_ptr<const void> keep_alive_;
  Ort::Session session_;  // after what it points into, so that it is destroyed first
};

// One session and the tasks that run on it: the base of an extracted bundle, with the adapter of a
// task chosen for each run. Copies share one state; all functions may be called by several threads.
//
// The adapter of a task is mapped and checked when the task is first named, while runs of others go
// on, and stays until remove_adapter(). Functions that take the name of a task throw
// Error(kInvalid) if there is no such task, its adapter is not the file of the manifest or does not
// fit the session's inputs (names, types, shapes, and equal ranks of A and B); Error(kIo) if it is
// missing.
class TaskSession {
 public:
  // Returns the names of the tasks that run on this session: those of the bundle that are an
  // adapter over it or equal to it, in the bundle's order, then what add_adapter() added. (A task
  // may need a model of its own instead: Bundle::session() of that.) After Bundle::reload() also
  // those that came since, unless the base had to be written anew for them.
  std::vector<std::string> tasks() const;

  // Runs the session with the weights of `task`; "" runs the base itself.
  //
  // Throws Error(kInvalid) if an input is one that the task gives, Error(kRuntime) with ONNX
  // Runtime's message.
  std::vector<Ort::Value> run(const std::string& task, const char* const* input_names,
                              const Ort::Value* inputs, size_t input_count,
                              const char* const* output_names, size_t output_count);

  // Returns run options for `task` for a Run() of session() by hand; they must not outlive this.
  // ONNX Runtime 1.29 ignores adapters in RunAsync() and, silently, with an IoBinding; on a device
  // it copies them there at each run, where run() and bind() take the one copy there.
  Ort::RunOptions options(const std::string& task);

  // Makes runs of session() with `binding`, which is one of session(), runs of `task`; "" is the
  // base. The run options need no adapter then.
  //
  // Binds every input that any task of tasks() gives: to what this task gives, else to the base's
  // default, so that nothing stays of the task before. Other inputs and outputs are left alone. To
  // be called again after ClearBoundInputs(). The binding must not be run when this is gone.
  //
  // Binds nothing and throws Error(kInvalid) if an input of another task has no default,
  // Error(kUnsupported) if it has one that cannot be read.
  void bind(Ort::UnownedIoBinding binding, const std::string& task);
  void bind(Ort::IoBinding& binding, const std::string& task) { bind(binding.GetUnowned(), task); }

  // Ends the use of the adapter of `task`: one that was added is no task any more, one of the
  // bundle is mapped anew where it is named again. Runs in progress go on; its memory goes with the
  // last of them. Ort::RunOptions of options() for it must not be used any more, and bindings only
  // after another bind().
  //
  // Throws Error(kInvalid) if no such adapter is there.
  void remove_adapter(const std::string& task);

  // Adds the .onnx_adapter at `path`, which may come from anywhere, as the task `name`.
  //
  // The file must stay as it is. Throws Error(kInvalid) if the bundle or this has a task `name`,
  // the file is no .onnx_adapter or does not fit the session's inputs, Error(kUnsupported) if it
  // has another format version, Error(kIo) if it cannot be read.
  void add_adapter(const std::string& name, const std::filesystem::path& path);

  // The session. Whoever runs it by hand, with neither options() nor bind(), runs the base.
  Ort::Session& session();

 private:
  friend class Bundle;
  struct State;
  explicit TaskSession(std::shared_ptr<State> state) : state_(std::move(state)) {}
  std::shared_ptr<State> state_;
};

class OpenBundle;

struct BundleOptions {
  // Compares the bytes of each pack with the manifest before its first session: damaged ones give
  // wrong outputs without an error. Reads all of them; `wshare verify` does so once for all.
  bool check_packs = false;
};

// How the files of a model come into memory ahead of runs.
enum class Prefault {
  kRead,  // they are read; the system may take their memory for something else
  kLock,  // and stay, until the Bundle and all sessions of it are gone
};

// A bundle open for sessions. Copies share one state; all functions may be called by several
// threads.
class Bundle {
 public:
  // Opens the bundle in `folder` and maps the blobs that sessions need. Part of a bundle will do:
  // manifest.json, and for each model that is opened its .onnx and the blobs of its tensors.
  //
  // Throws Error(kIo) or Error(kInvalid) if it is none. What the manifest says of a model is read
  // for its sessions. Tensor bytes are not read: that is what `wshare verify` is for.
  static Bundle open(const std::filesystem::path& folder, const BundleOptions& options = {});

  // Returns the names of the models, in the order of the manifest.
  std::vector<std::string> models() const;

  // Returns a new session of the model called `name` over the shared weights.
  //
  // Throws Error(kInvalid) if there is no such model, its file is not the one of the manifest, or
  // model and manifest contradict each other; Error(kIo) if its file or a blob is missing;
  // Error(kRuntime) with ONNX Runtime's message if it refuses the model; with Tier::kPacked,
  // Error(kUnsupported) that says why there is no pack to use; on a device,
  // Error(kUnsupported) if the session would hold copies of shared weights (DeviceCopies), and
  // Error(kRuntime) if there is no room.
  Session session(const std::string& name, const SessionOptions& options = {});

  // Returns a new session of the model called `base` for all tasks that are adapters over it.
  //
  // Throws what session() throws.
  TaskSession task_session(const std::string& base, const SessionOptions& options = {});

  // Brings what sessions of `model` read into the page cache, so that no run waits for the disk:
  // its pack where that will be used, else its tensors. Returns how many bytes that is.
  //
  // For weights that are used in place: kernels that pack read theirs once (Tier::kShared), and
  // locked they lie in memory beside the packed ones.
  //
  // Throws Error(kInvalid) if there is no such model, Error(kIo) if a file is missing or the
  // process may not lock so much (RLIMIT_MEMLOCK).
  uint64_t prefault(const std::string& model, Prefault how = Prefault::kRead);

  // Reads the manifest anew: what commands have added or taken away since is so for this and its
  // copies from then on. Returns false if there is nothing new.
  //
  // Sessions go on, as they were; new ones share maps, packed weights and what lies on devices with
  // them. Task sessions have the tasks that came, as long as their base stayed what it was. Where
  // another bundle has taken the folder's place (`remove --compact`, `--force`), new sessions share
  // nothing with old ones; on a device the same is so after a `remove`.
  //
  // Throws what open() throws; all is as before then.
  bool reload();

  // Returns what the sessions so far took from the maps.
  Report report() const;

 private:
  explicit Bundle(std::shared_ptr<OpenBundle> opened) : opened_(std::move(opened)) {}
  std::shared_ptr<OpenBundle> opened_;
};

}  // namespace wshare
