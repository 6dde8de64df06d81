#pragma once

#include <onnxruntime_cxx_api.h>

#include <optional>

namespace wshare {

// How many threads compute for all sessions together.
struct SharedThreads {
  int intra_op = 0;  // inside an operator, the thread that calls Run() among them; 0: one per core
  int inter_op = 1;  // of operators side by side, for sessions with ORT_PARALLEL; 0: one per core
  bool operator==(const SharedThreads&) const = default;
};

// What the sessions of a process have in common beside weights.
struct EnvironmentOptions {
  // Threads that all sessions share. None: each session has its own, as Ort::SessionOptions say.
  std::optional<SharedThreads> threads = std::nullopt;
  // One arena for what sessions on the CPU compute with, instead of one per session: sessions that
  // run one after the other then need the memory of one. It keeps what it has grown to.
  bool arena = false;
  bool operator==(const EnvironmentOptions&) const = default;
};

// Makes environment() with `options`; to be called before all else that uses ONNX Runtime.
//
// Sessions of bundles then use both by themselves: what their own options say of numbers of threads
// and of an arena is of no effect, since ONNX Runtime lets no one read it. A session whose options
// have the config entry "session.use_env_allocators=0" keeps memory of its own. Sessions on a
// device share the threads, not the arena: their memory there must be counted one by one.
//
// Throws Error(kInvalid) if the environment was made before with other options, also by an Ort::Env
// of the program's own without shared threads (one that has some keeps its number), or if a number
// is negative; Error(kIo) if the system has no such threads; Error(kRuntime) as ONNX Runtime says.
void set_up_environment(const EnvironmentOptions& options);

// Returns the process-wide environment of all sessions, log level ERROR; made at the first call,
// never destroyed, since sessions may live until the end of the process.
Ort::Env& environment();

}  // namespace wshare
