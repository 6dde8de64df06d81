#pragma once

#include <gtest/gtest.h>
#include <onnxruntime_cxx_api.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "wshare/device.h"
#include "wshare/environment.h"

namespace wshare::test {

// The bytes at `address` of `device`, copied back to the host.
inline std::string read_back(const Device& device, const std::byte* address, size_t size) {
  std::string bytes(size, '\0');
  const int64_t shape = static_cast<int64_t>(size);
  const auto value = [&](const OrtMemoryInfo* memory, void* data) {
    return Ort::Value::CreateTensor(memory, data, size, &shape, 1,
                                    ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8);
  };
  std::vector<Ort::Value> from, to;
  from.push_back(value(device.ep_device().GetMemoryInfo(OrtDeviceMemoryType_DEFAULT),
                       const_cast<std::byte*>(address)));
  to.push_back(
      value(Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault), bytes.data()));
  Ort::Status status = environment().CopyTensors(from, to, nullptr);
  EXPECT_TRUE(status.IsOK());
  return bytes;
}

}  // namespace wshare::test
