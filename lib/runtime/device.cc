#include "wshare/device.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "runtime/device_use.h"
#include "runtime/known_provider.h"
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

// Returns what `describe` says of each device that is registered, each text once.
template <typename Describe>
std::string list_devices(const Describe& describe) {
  std::string list;
  for (const Ort::ConstEpDevice& device : environment().GetEpDevices()) {
    const std::string text = describe(device);
    if (list.find(text) == list.npos) list += (list.empty() ? "" : ", ") + text;
  }
  return list;
}

std::string describe_hardware(const Ort::ConstEpDevice& device) {
  const auto hardware = device.Device();
  const OrtHardwareDeviceType type = hardware.Type();
  const char* kind = type == OrtHardwareDeviceType_CPU   ? "CPU"
                     : type == OrtHardwareDeviceType_GPU ? "GPU"
                                                         : "NPU";
  return fmt::format("{} of vendor {:#06x}", kind, hardware.VendorId());
}

[[noreturn]] void refuse_without_device(const std::string& provider,
                                        const std::filesystem::path& library) {
  if (is_provider("CUDAExecutionProvider", provider)) {
    throw Error(ErrorCode::kUnsupported,
                in_quotes(provider) +
                    ": the driver has a GPU, and the provider is loaded, but "
                    "ONNX Runtime finds no GPU for it",
                "it looks in /sys/class/drm and /sys/bus/pci/devices: in a container, both must "
                "be visible");
  }
  if (has_devices(library)) {
    throw Error(
        ErrorCode::kInvalid,
        in_quotes(provider) + ": the library offers no device of this provider",
        "there is " + list_devices([](const auto& each) { return in_quotes(each.EpName()); }));
  }
  const KnownProvider* known = find_known_provider(provider);
  throw Error(ErrorCode::kUnsupported,
              in_quotes(provider) + ": the library is loaded, but offers no device on this machine",
              (known != nullptr ? known->wants + std::string("; ") : std::string()) +
                  "ONNX Runtime shows it " + list_devices(describe_hardware));
}

}  // namespace

Device Device::open(const std::string& provider, const std::filesystem::path& library, size_t index,
                    ProviderOptions options) {
  return translate_errors(provider, [&] {
    std::vector<Ort::ConstEpDevice> devices;
    if (library.empty()) devices = find_devices(provider);
    if (devices.empty()) {
      register_provider(provider, library);
      devices = find_devices(provider);
    }
    if (devices.empty()) refuse_without_device(provider, library);
    if (index >= devices.size()) {
      throw Error(ErrorCode::kInvalid, in_quotes(provider) + ": device " + std::to_string(index) +
                                           " is asked for, the provider has " +
                                           std::to_string(devices.size()));
    }
    return Device(devices[index], std::move(options));
  });
}

Device::Device(Ort::ConstEpDevice device, ProviderOptions options)
    : device_(device), options_(std::move(options)) {
  const KnownProvider* known = find_known_provider(provider());
  if (known != nullptr && known->option != nullptr) options_.emplace(known->option, known->value);
  const auto memory = device_.GetMemoryInfo(OrtDeviceMemoryType_DEFAULT);
  if (memory != nullptr && memory.GetDeviceType() != OrtMemoryInfoDeviceType_CPU) return;
  if (shares_by_itself()) return;
  std::string message = in_quotes(provider()) + ": has no memory of its own to share weights in";
  if (known != nullptr && known->why_copies != nullptr)
    message += std::string(", and ") + known->why_copies;
  throw Error(ErrorCode::kUnsupported, message, "sessions on the CPU need no device");
}

bool Device::shares_by_itself() const {
  const KnownProvider* known = find_known_provider(provider());
  return known != nullptr && known->shares_by != nullptr;
}

void Device::append_to(Ort::SessionOptions& ort) const {
  Ort::KeyValuePairs pairs;
  for (const auto& [key, value] : options_) pairs.Add(key.c_str(), value.c_str());
  ort.AppendExecutionProvider_V2(environment(), {device_}, pairs);
}

const char* text_of(DeviceProof proof) {
  switch (proof) {
    case DeviceProof::kNone:
      return "none";
    case DeviceProof::kCounted:
      return "counted";
    case DeviceProof::kFreeMemory:
      return "free_memory";
    case DeviceProof::kAbsence:
      return "absence";
  }
  return "";
}

std::optional<DeviceUse> Device::use_of(const Ort::Session& session) const {
  const auto memory = device_.GetMemoryInfo(OrtDeviceMemoryType_DEFAULT);
  if (memory == nullptr) return std::nullopt;
  return translate_errors(provider(), [&] {
    const Ort::Allocator allocator(session, memory);
    return read_use(allocator.GetStats());
  });
}

// Source: ONNX Runtime, AllocatorStats::ToKeyValuePairs; all are empty where nothing is counted.
std::optional<DeviceUse> arena_use(const Ort::Session& session) {
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  try {
    return read_use(Ort::Allocator(session, memory).GetStats());
  } catch (const Ort::Exception&) {
    return std::nullopt;
  }
}

std::optional<DeviceUse> read_use(const Ort::KeyValuePairs& figures) {
  const auto read = [&](const char* key) {
    const char* value = figures.GetValue(key);
    return value == nullptr ? int64_t{-1} : parse_decimal(value);
  };
  const int64_t in_use = read("InUse"), allocated = read("TotalAllocated");
  if (in_use < 0) return std::nullopt;
  return DeviceUse{static_cast<uint64_t>(in_use),
                   static_cast<uint64_t>(std::max(in_use, allocated)),
                   static_cast<uint64_t>(std::max(in_use, read("MaxInUse")))};
}

}  // namespace wshare
