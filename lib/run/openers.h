#pragma once

#include <onnxruntime_cxx_api.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "run/creation_stages.h"
#include "run/named_model.h"
#include "wshare/runtime.h"

namespace wshare {

// What runs a model: a session, and the run options that choose its task.
struct Runner {
  std::shared_ptr<Ort::Session> session;
  std::shared_ptr<Ort::RunOptions> options;
  // Of a task on a device, which runs through TaskSession::run() instead; else null.
  std::shared_ptr<TaskSession> tasks = nullptr;
  std::string task = {};
  std::shared_ptr<const StageClock> clock = nullptr;  // of the creation of `session`
};

// Makes what runs a model; called once per session. Tasks over one base share their sessions: the
// n-th call for each gives the n-th one.
using Opener = std::function<Runner(const NamedModel&)>;

// Returns what makes sessions over the shared weights of `bundle`, which must outlive it.
Opener shared_opener(Bundle& bundle, Tier tier, const std::optional<Device>& device = std::nullopt,
                     DeviceCopies copies = DeviceCopies::kRefuse);

// Returns what makes stock sessions, without any sharing, on `device`; none: on the CPU. They have
// `threads` threads each, the calling one among them.
Opener plain_opener(const std::optional<Device>& device = std::nullopt, int threads = 1,
                    GraphOptimizationLevel level = ORT_ENABLE_ALL);

// Makes a session of `model` that has its graph as it stands in the bundle: nothing is optimised or
// packed, and weights lie in maps.
Session open_bare(Bundle& bundle, const std::string& model);

// Returns the options that `wshare run` gives all its sessions: one thread, so that figures
// compare, or as many as shared sessions share.
Ort::SessionOptions default_ort_options(int threads = 1);

// Makes ONNX Runtime write nothing to stderr: what it reports as an error is thrown as well.
void silence_log();

}  // namespace wshare
