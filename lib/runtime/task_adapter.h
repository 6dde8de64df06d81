#pragma once

#include <onnxruntime_cxx_api.h>

#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "format/manifest/manifest.h"
#include "format/session_inputs.h"
#include "runtime/device_weights.h"
#include "util/mapped_file.h"

namespace wshare {

// Returns the tensors that runs of `session` may be given, by name.
SessionInputs inputs_of(const Ort::Session& session);

// Returns the parameters that the manifest says `task` has, without bytes.
std::vector<NamedTensor> parameters_of(const TaskRecord& task);

// An adapter in memory: the same bytes for runs and for bindings.
struct TaskAdapter {
  MappedFile file;
  std::vector<NamedTensor> parameters;               // their bytes lie in `file`
  std::set<std::string, std::less<>> names;          // of parameters
  std::vector<std::shared_ptr<const void>> buffers;  // what `values` lie in on a device
  std::vector<Ort::Value> values;                    // of parameters, over `file` or on a device
  Ort::LoraAdapter adapter;                          // what ONNX Runtime made of it
};

// Returns the adapter in `file`, an .onnx_adapter; its values are copied to `device` unless that is
// null.
//
// Throws Error(kInvalid) or Error(kUnsupported), naming the file, if it is none; Error(kRuntime) if
// there is no room on the device.
TaskAdapter read_task_adapter(MappedFile file, const DeviceWeights* device);

}  // namespace wshare
