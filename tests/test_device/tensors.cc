#include "test_device/tensors.h"

#include <algorithm>
#include <cstring>

#include "test_device/device_memory.h"

namespace wshare::test {

int64_t count_of(const Shape& shape) {
  int64_t count = 1;
  for (const int64_t dim : shape) count *= dim;
  return count;
}

Tensor input(Ort::KernelContext& context, size_t index) {
  const Ort::ConstValue value = context.GetInput(index);
  const auto type = value.GetTensorTypeAndShapeInfo();
  if (type.GetElementType() != ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT) fail("an input is not float32");
  Tensor tensor{type.GetShape(), nullptr, 0};
  tensor.count = count_of(tensor.shape);
  if (tensor.count == 0) return tensor;
  const std::byte* bytes = DeviceMemory::instance().view(
      value.GetTensorRawData(), static_cast<size_t>(tensor.count) * sizeof(float));
  tensor.data = reinterpret_cast<const float*>(bytes);
  return tensor;
}

float* output(Ort::KernelContext& context, const Shape& shape) {
  Ort::UnownedValue value = context.GetOutput(0, shape);
  const int64_t count = count_of(shape);
  if (count == 0) return nullptr;
  return reinterpret_cast<float*>(DeviceMemory::instance().view(
      value.GetTensorMutableRawData(), static_cast<size_t>(count) * sizeof(float)));
}

void copy(const OrtValue* from, OrtValue* to) {
  const OrtEpApi& api = Ort::GetEpApi();
  const auto is_ours = [&](const OrtValue* value, OrtDeviceMemoryType type) {
    const OrtMemoryDevice* device = api.Value_GetMemoryDevice(value);
    return api.MemoryDevice_GetDeviceType(device) == OrtMemoryInfoDeviceType_GPU &&
           api.MemoryDevice_GetMemoryType(device) == type;
  };
  const auto is_on_device = [&](const OrtValue* value) {
    return is_ours(value, OrtDeviceMemoryType_DEFAULT);
  };
  DeviceMemory& memory = DeviceMemory::instance();
  const Ort::ConstValue source{from};
  Ort::UnownedValue target{to};
  const size_t size = source.GetTensorSizeInBytes();
  if (size != target.GetTensorSizeInBytes()) fail("a copy between tensors of two sizes");
  if (size == 0) return;
  const bool from_device = is_on_device(from), to_device = is_on_device(to);
  const void* read = source.GetTensorRawData();
  void* write = target.GetTensorMutableRawData();
  if (from_device) read = memory.view(read, size);
  if (to_device) write = memory.view(write, size);
  std::memcpy(write, read, size);
  if (to_device && !from_device) {
    memory.uploaded += size;
    if (is_ours(from, OrtDeviceMemoryType_HOST_ACCESSIBLE)) memory.from_pinned += size;
  }
  if (from_device && !to_device) memory.downloaded += size;
}

Shape broadcast(const Shape& a, const Shape& b) {
  const Shape& longer = a.size() >= b.size() ? a : b;
  const Shape& shorter = a.size() >= b.size() ? b : a;
  Shape result = longer;
  for (size_t i = 0; i < shorter.size(); ++i) {
    int64_t& dim = result[longer.size() - shorter.size() + i];
    if (dim != shorter[i] && dim != 1 && shorter[i] != 1) fail("shapes that cannot be broadcast");
    if (dim == 1) dim = shorter[i];
  }
  return result;
}

int64_t broadcast_index(int64_t index, const Shape& to, const Shape& from) {
  int64_t result = 0, stride = 1;
  for (size_t i = 0; i < from.size(); ++i) {
    const int64_t to_dim = to[to.size() - 1 - i], from_dim = from[from.size() - 1 - i];
    result += from_dim == 1 ? 0 : index % to_dim * stride;
    index /= to_dim;
    stride *= from_dim;
  }
  return result;
}

}  // namespace wshare::test
