#include "runtime/task_adapter.h"

#include <utility>

#include "format/adapter_file.h"
#include "runtime/empty_inputs.h"
#include "runtime/session_parts.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

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
