#include "wshare/device.h"

#include <algorithm>

#include "runtime/device_use.h"
#include "runtime/ort_errors.h"
#include "runtime/provider_library.h"
#include "util/text.h"
#include "wshare/error.h"
#include "wshare/runtime.h"

namespace wshare {
namespace {

std::vector<Ort::ConstEpDevice> find_devices(const std::string& provider) {
  std::vector<Ort::ConstEpDevice> devices;
  for (const Ort::ConstEpDevice& device : environment().GetEpDevices()) {
    if (is_provider(device.EpName(), provider)) devices.push_back(device);
  }
  return devices;
}

std::string registered_providers() {
  std::string list;
  for (const Ort::ConstEpDevice& device : environment().GetEpDevices()) {
    const std::string name = in_quotes(device.EpName());
    if (list.find(name) == list.npos) list += (list.empty() ? "" : ", ") + name;
  }
  return list;
}

}  // namespace

Device Device::open(const std::string& provider, const std::filesystem::path& library,
                    size_t index) {
  return translate_errors(provider, [&] {
    std::vector<Ort::ConstEpDevice> devices;
    if (library.empty()) devices = find_devices(provider);
    if (devices.empty()) {
      register_provider(provider, library);
      devices = find_devices(provider);
    }
    if (devices.empty() && is_provider("CUDAExecutionProvider", provider)) {
      throw Error(ErrorCode::kUnsupported,
                  in_quotes(provider) +
                      ": the driver has a GPU, and the provider is loaded, but "
                      "ONNX Runtime finds no GPU for it",
                  "it looks in /sys/class/drm and /sys/bus/pci/devices: in a container, both must "
                  "be visible");
    }
    if (devices.empty()) {
      throw Error(ErrorCode::kInvalid,
                  in_quotes(provider) + ": the library offers no device of this provider",
                  "there is " + registered_providers());
    }
    if (index >= devices.size()) {
      throw Error(ErrorCode::kInvalid, in_quotes(provider) + ": device " + std::to_string(index) +
                                           " is asked for, the provider has " +
                                           std::to_string(devices.size()));
    }
    return Device(devices[index]);
  });
}

Device::Device(Ort::ConstEpDevice device) : device_(device) {
  const auto memory = device_.GetMemoryInfo(OrtDeviceMemoryType_DEFAULT);
  if (memory != nullptr && memory.GetDeviceType() != OrtMemoryInfoDeviceType_CPU) return;
  throw Error(ErrorCode::kUnsupported,
              in_quotes(provider()) + ": has no memory of its own to share weights in",
              "sessions on the CPU need no device");
}

std::optional<DeviceUse> Device::use_of(const Ort::Session& session) const {
  return translate_errors(provider(), [&] {
    const Ort::Allocator allocator(session, device_.GetMemoryInfo(OrtDeviceMemoryType_DEFAULT));
    return read_use(allocator.GetStats());
  });
}

// Source: ONNX Runtime, AllocatorStats::ToKeyValuePairs; all are empty where nothing is counted.
std::optional<DeviceUse> read_use(const Ort::KeyValuePairs& figures) {
  const auto read = [&](const char* key) {
    const char* value = figures.GetValue(key);
    return value == nullptr ? int64_t{-1} : parse_decimal(value);
  };
  const int64_t in_use = read("InUse"), allocated = read("TotalAllocated");
  if (in_use < 0) return std::nullopt;
  return DeviceUse{static_cast<uint64_t>(in_use),
                   static_cast<uint64_t>(std::max(in_use, allocated))};
}

}  // namespace wshare
