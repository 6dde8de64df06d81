#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "run/inputs.h"
#include "run/measure.h"
#include "run/named_model.h"
#include "run/parity.h"
#include "wshare/runtime.h"

namespace wshare {

// `wshare run` measures shared and plain sessions, each side in a child process of its own, one
// after the other: the same program, the same code and the same order, so that their memory
// compares. (In one process, PSS would split the pages of ONNX Runtime's library between both, and
// what the first side leaves on the heap would count for the second.)

// Where sessions run.
struct DeviceChoice {
  std::string ep = "cpu";
  std::filesystem::path library;  // of the provider; empty: for cuda, beside ONNX Runtime's
  unsigned number = 0;            // of the provider's devices
  DeviceCopies copies = DeviceCopies::kRefuse;
  ProviderOptions options = {};
};

// The files to compare with, by model.
using Originals = std::map<std::string, std::filesystem::path>;

inline constexpr char kRunJob[] = "run";  // the name of a RunJob

// What one side does: read once from the command line, handed to the child as it is (job_json.h).
struct RunJob {
  std::filesystem::path bundle;  // of shared sessions; empty: plain ones
  Tier tier = Tier::kAuto;       // of shared sessions
  DeviceChoice device;
  std::vector<NamedModel> models;
  unsigned sessions = 1;        // per model
  unsigned repeat = 5;          // timed runs of each, after the first
  double max_seconds = 60;      // of all timed runs together
  unsigned shared_threads = 0;  // of all shared sessions together, else of each plain one; 0: one
  bool shared_arena = false;
  InputOptions inputs;
  Originals against;  // of shared sessions: whose outputs are compared, once all is measured
};

// The ONNX Runtime that did a job.
struct UsedRuntime {
  std::string version;
  std::filesystem::path library;
};

struct RunAnswer {
  Measurement measurement;
  std::vector<ParityRow> parity;  // of RunJob::against, in the order of the models
  UsedRuntime onnxruntime = {};   // set by who has found it
};

// Called with what is done next: "opening session 3 of 8".
using TellFn = std::function<void(const std::string&)>;

// Does `job` in this process, whose environment() must not have been made yet.
//
// Throws the errors of Device::open(), Bundle::open(), measure() and compare_sessions().
RunAnswer do_job(const RunJob& job, const TellFn& tell);

}  // namespace wshare
