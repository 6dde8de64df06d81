#pragma once

#include <onnxruntime_cxx_api.h>

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "format/manifest/manifest.h"
#include "format/named_tensor.h"
#include "runtime/device_weights.h"
#include "util/mapped_file.h"

namespace wshare {

// A tensor that a run may give to a session.
struct SessionInput {
  int32_t dtype = 0;                 // TensorProto.DataType
  std::vector<int64_t> shape;        // -1: free
  std::vector<std::string> symbols;  // parallel to shape: its name in the model, or ""
  bool has_default = false;          // runs may leave it out
};
using SessionInputs = std::map<std::string, SessionInput, std::less<>>;

// Returns the tensors that runs of `session` may be given, by name.
SessionInputs inputs_of(const Ort::Session& session);

// Throws Error(kInvalid), with `task` in the message, unless `parameters` can be given to a run
// together: each is one of `inputs` with its type and shape, free dimensions of one name are equal
// among them, and no input with a default that has such a dimension, too, is left out (B of a LoRA
// whose A is there). Bytes are not looked at.
void check_parameters(const std::string& task, std::span<const NamedTensor> parameters,
                      const SessionInputs& inputs);

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
