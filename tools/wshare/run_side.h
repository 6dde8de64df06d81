#pragma once

#include <string>
#include <vector>

#include "cli.h"
#include "run/measure.h"
#include "run_options.h"

namespace wshare {

// `wshare run` measures shared and plain sessions, each side in a child process of its own, one
// after the other: the same program, the same code and the same order, so that their memory
// compares. (In one process, PSS would split the pages of ONNX Runtime's library between both, and
// what the first side leaves on the heap would count for the second.)

// The command line of such a child, the hidden command run-side.
struct SideArguments {
  std::string bundle;  // of shared sessions; empty: plain ones
  std::string tier = "auto";
  DeviceArguments device;
  std::vector<std::string> names;  // of the models
  std::vector<std::string> files;  // their .onnx, as many
  // NamedModel::task_of, as many, behind a '+' where the session is shared, else behind a '='.
  std::vector<std::string> tasks_of;
  std::vector<std::string> bases;  // NamedModel::base, as many, behind a '='
  bool progress = false;  // say on stderr what is done next, each time behind kProgressMark
};

// Begins the lines by which the child says what it does next.
inline constexpr char kProgressMark = '\x1f';

struct SideResult {
  int exit_code = 0;  // 0, or why there is no measurement: the child has said it on Context::err
  Measurement measurement;
};

// Each runs context.program as one side and returns what it measured; what the child writes to
// stderr goes to context.err.
//
// Throws Error(kRuntime) if the child cannot be started or is ended by a signal.
SideResult measure_shared(const std::string& bundle, const std::string& tier,
                          const DeviceArguments& device, const std::vector<NamedModel>& models,
                          const InputArguments& inputs, Context& context);
SideResult measure_plain(const DeviceArguments& device, const std::vector<NamedModel>& models,
                         const InputArguments& inputs, Context& context);

}  // namespace wshare
