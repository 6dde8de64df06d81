#include "runtime/task_adapter.h"

#include <utility>

#include "format/adapter_file.h"
#include "runtime/empty_inputs.h"
#include "runtime/session_parts.h"
#include "util/text.h"
#include "wshare/error.h"

// ONNX Runtime appends the parameters of an adapter to the inputs of a run. It does not look at who
// made them, so what could go wrong silently, or late with a message about some node, is checked
// here before.

namespace wshare {
namespace {

[[noreturn]] void refuse(const std::string& task, const std::string& parameter,
                         const std::string& why) {
  throw Error(ErrorCode::kInvalid,
              "task " + in_quotes(task) + ": parameter " + in_quotes(parameter) + " " + why);
}

// The value of a free dimension, and the parameter that gave it.
struct Dimension {
  int64_t value;
  std::string parameter;
};
using Dimensions = std::map<std::string, Dimension>;

void check_parameter(const std::string& task, const NamedTensor& parameter,
                     const SessionInput& input, Dimensions& dimensions) {
  if (parameter.dtype != input.dtype) {
    refuse(task, parameter.name, "has another element type than the session's input");
  }
  bool fits = parameter.shape.size() == input.shape.size();
  for (size_t i = 0; fits && i < input.shape.size(); ++i) {
    fits = input.shape[i] < 0 || input.shape[i] == parameter.shape[i];
  }
  if (!fits) refuse(task, parameter.name, "has another shape than the session's input");
  for (size_t i = 0; i < input.shape.size(); ++i) {
    const std::string& symbol = input.symbols[i];
    if (input.shape[i] >= 0 || symbol.empty()) continue;
    const auto [known, added] =
        dimensions.emplace(symbol, Dimension{parameter.shape[i], parameter.name});
    if (added || known->second.value == parameter.shape[i]) continue;
    refuse(task, parameter.name,
           "has " + std::to_string(parameter.shape[i]) + " for the dimension " + in_quotes(symbol) +
               ", parameter " + in_quotes(known->second.parameter) + " has " +
               std::to_string(known->second.value));
  }
}

// What is left out keeps its default, of another size than what is given.
void check_left_out(const std::string& task, const std::string& name, const SessionInput& input,
                    const Dimensions& dimensions) {
  if (!input.has_default) return;
  for (size_t i = 0; i < input.shape.size(); ++i) {
    if (input.shape[i] >= 0) continue;
    const auto known = dimensions.find(input.symbols[i]);
    if (known == dimensions.end()) continue;
    refuse(task, known->second.parameter,
           "has the dimension " + in_quotes(known->first) + " in common with " + in_quotes(name) +
               ", which is missing");
  }
}

void make_values(TaskAdapter& adapter, const DeviceWeights* device) {
  std::vector<std::span<const std::byte>> pieces;
  for (const NamedTensor& parameter : adapter.parameters) {
    adapter.names.insert(parameter.name);
    pieces.push_back(parameter.bytes);
  }
  if (device == nullptr) {
    const auto memory = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault);
    for (const NamedTensor& parameter : adapter.parameters)
      adapter.values.push_back(wrap(parameter, memory, parameter.bytes.data()));
    return;
  }
  std::vector<NamedTensor> tensors = adapter.parameters;
  std::vector<std::byte> zeros;
  if (device->fails_on_empty()) zeros = fill_empty(tensors);
  pieces.clear();
  for (const NamedTensor& tensor : tensors) pieces.push_back(tensor.bytes);
  PlacedBytes placed = device->upload(pieces);
  adapter.buffers = std::move(placed.buffers);
  const auto memory = device->device().ep_device().GetMemoryInfo(OrtDeviceMemoryType_DEFAULT);
  for (size_t i = 0; i < pieces.size(); ++i)
    adapter.values.push_back(wrap(tensors[i], memory, placed.addresses[i]));
  adapter.file.drop_pages();
}

}  // namespace

SessionInputs inputs_of(const Ort::Session& session) {
  SessionInputs inputs;
  const Ort::AllocatorWithDefaultOptions allocator;
  const auto add = [&](const std::string& name, const Ort::TypeInfo& type, bool has_default) {
    if (type.GetONNXType() != ONNX_TYPE_TENSOR) return;
    const auto tensor = type.GetTensorTypeAndShapeInfo();
    SessionInput input{
        static_cast<int32_t>(tensor.GetElementType()), tensor.GetShape(), {}, has_default};
    for (const char* symbol : tensor.GetSymbolicDimensions()) input.symbols.emplace_back(symbol);
    inputs.emplace(name, std::move(input));
  };
  for (size_t i = 0; i < session.GetInputCount(); ++i) {
    add(session.GetInputNameAllocated(i, allocator).get(), session.GetInputTypeInfo(i), false);
  }
  for (size_t i = 0; i < session.GetOverridableInitializerCount(); ++i) {
    add(session.GetOverridableInitializerNameAllocated(i, allocator).get(),
        session.GetOverridableInitializerTypeInfo(i), true);
  }
  return inputs;
}

void check_parameters(const std::string& task, std::span<const NamedTensor> parameters,
                      const SessionInputs& inputs) {
  Dimensions dimensions;
  std::set<std::string_view> given;
  for (const NamedTensor& parameter : parameters) {
    const auto input = inputs.find(parameter.name);
    if (input == inputs.end()) refuse(task, parameter.name, "is no input of the session");
    check_parameter(task, parameter, input->second, dimensions);
    given.insert(parameter.name);
  }
  for (const auto& [name, input] : inputs) {
    if (!given.contains(name)) check_left_out(task, name, input, dimensions);
  }
}

std::vector<NamedTensor> parameters_of(const TaskRecord& task) {
  std::vector<NamedTensor> parameters;
  for (const ParameterRecord& parameter : task.parameters)
    parameters.push_back({parameter.name, parameter.dtype, parameter.shape, {}});
  return parameters;
}

TaskAdapter read_task_adapter(MappedFile file, const DeviceWeights* device) {
  const std::string path = file.path().string();
  try {
    // By path, so that ONNX Runtime maps the file as well and copies nothing.
    TaskAdapter adapter{std::move(file), {}, {}, {}, {}, Ort::LoraAdapter(nullptr)};
    adapter.parameters = read_adapter(adapter.file.bytes());
    make_values(adapter, device);
    adapter.adapter =
        Ort::LoraAdapter::CreateLoraAdapter(adapter.file.open_path().c_str(), nullptr);
    return adapter;
  } catch (const Error& error) {
    throw Error(error.code(), in_quotes(path) + ": " + error.what(), error.hint());
  }
}

}  // namespace wshare
