#pragma once

#include <onnxruntime_cxx_api.h>

#include <string>
#include <vector>

#include "run/inputs.h"
#include "run/named_model.h"
#include "run/openers.h"

namespace wshare {

// Runs the model called `model` and returns its outputs.
//
// Throws Error(kRuntime) if ONNX Runtime refuses; where made-up inputs may be the reason, the hint
// says so.
std::vector<Ort::Value> run_once(const std::string& model, const Runner& runner,
                                 const Inputs& inputs);

// What a model ran on for the first time.
struct FirstRun {
  Inputs inputs;
  std::vector<Ort::Value> outputs;
  double milliseconds = 0;
};

// Runs the model for the first time. Free dimensions get a few tokens at first; where the model
// refuses that (images that are halved five times, audio that is cut into windows), more.
//
// Throws as run_once() and make_inputs() do.
FirstRun run_first(const NamedModel& model, const Runner& runner, InputOptions options);

}  // namespace wshare
