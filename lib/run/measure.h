#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "run/inputs.h"
#include "run/memory_parts.h"
#include "run/named_model.h"
#include "run/openers.h"
#include "util/memory.h"
#include "wshare/runtime.h"

namespace wshare {

struct MeasureOptions {
  unsigned sessions = 1;    // per model
  unsigned repeat = 5;      // runs that the median is of
  double max_seconds = 60;  // of all these runs: each session has its share, and at least one
  int threads = 1;          // of each plain session, the calling one among them
  InputOptions inputs;
  std::optional<Device> device = std::nullopt;  // that the sessions run on
  // Returns the bytes that they share there; none: nothing.
  std::function<uint64_t()> shared_on_device = nullptr;
  // Called with what is done next: "opening session 3 of 8".
  std::function<void(const std::string&)> progress = nullptr;
  MemoryWatch* watch = nullptr;  // told of the sessions; null: nobody asks where the memory is
};

struct SessionFigures {
  std::string model;     // that the session is of
  double create_ms = 0;  // where the session was there already: to choose the task
  double first_run_ms = 0;
  double run_ms_median = 0;
  std::string task = {};        // empty: the model itself
  bool shares_session = false;  // NamedModel::shares_session
  uint64_t own_bytes = 0;       // by which anonymous memory grew while the session was made
  double run_ms_min = 0, run_ms_max = 0;  // of the runs that run_ms_median is of
  // What create_ms is the sum of; none where the session was there already.
  std::optional<CreationStages> stages = std::nullopt;

  const std::string& name() const { return task.empty() ? model : task; }
};

struct Measurement {
  std::vector<SessionFigures> sessions;  // models in order, their sessions side by side
  std::vector<ModelReport> models;       // of shared sessions, what they share; else empty
  MemoryFigures memory;                  // of the process, after one run of each session
  size_t session_count = 0;              // tasks over one base share theirs
  size_t threads = 0;                    // of the process, after one run of each session
  std::optional<MemoryParts> parts = std::nullopt;  // of shared sessions on the CPU
  bool cut_short = false;  // fewer than MeasureOptions::repeat: max_seconds were over
};

// Opens all sessions, runs each once, takes the memory, then runs each `repeat` times.
//
// Throws Error(kRuntime) if a session cannot be made or run; where made-up inputs may be the
// reason, the hint says so. Throws Error(kInvalid) if a shape is given for what is no input of any
// of the models, and the errors of make_inputs().
Measurement measure(const std::vector<NamedModel>& models, const Opener& open,
                    const MeasureOptions& options);

// Returns the middle value, or the mean of the two in the middle; 0 if there is none.
double median(std::vector<double> values);

}  // namespace wshare
