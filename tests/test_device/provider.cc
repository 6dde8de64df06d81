#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <string_view>

#include "test_device/device_memory.h"
#include "test_device/kernels.h"
#include "test_device/ort_api.h"
#include "test_device/tensors.h"

// What ONNX Runtime asks of a provider: its device, its memory, its copies and its kernels. All are
// tables of C functions.

namespace wshare::test {
namespace {

// So that values of "Cuda" memory are taken for ours, too; or one that nobody has.
uint32_t vendor() { return DeviceMemory::instance().handles ? 0x5757 : 0x10DE; }

// Of the host; the sizes of its blocks stand in front of them, since Free() is not told.
class PinnedAllocator : public OrtAllocator {
 public:
  explicit PinnedAllocator(const OrtMemoryInfo* memory) : OrtAllocator{}, memory_(memory) {
    version = ORT_API_VERSION;
    Alloc = [](OrtAllocator*, size_t size) -> void* {
      auto* block = static_cast<std::byte*>(DeviceMemory::instance().allocate_pinned(size + kHead));
      std::memcpy(block, &size, sizeof size);
      return block + kHead;
    };
    Reserve = Alloc;
    Free = [](OrtAllocator*, void* block) {
      if (block == nullptr) return;
      std::byte* start = static_cast<std::byte*>(block) - kHead;
      size_t size = 0;
      std::memcpy(&size, start, sizeof size);
      DeviceMemory::instance().free_pinned(start, size + kHead);
    };
    Info = [](const OrtAllocator* self) {
      return static_cast<const PinnedAllocator*>(self)->memory_;
    };
  }

 private:
  static constexpr size_t kHead = 256;

  const OrtMemoryInfo* memory_;
};

// One per session, and one that ONNX Runtime shares between its users. Each counts for itself.
class Allocator : public OrtAllocator {
 public:
  explicit Allocator(const OrtMemoryInfo* memory) : OrtAllocator{}, memory_(memory) {
    version = ORT_API_VERSION;
    Alloc = [](OrtAllocator* self, size_t size) {
      return static_cast<Allocator*>(self)->allocate(size);
    };
    Reserve = Alloc;
    Free = [](OrtAllocator* self, void* block) {
      static_cast<Allocator*>(self)->in_use_ -= DeviceMemory::instance().free(block);
    };
    Info = [](const OrtAllocator* self) { return static_cast<const Allocator*>(self)->memory_; };
    GetStats = [](const OrtAllocator* self, OrtKeyValuePairs** result) noexcept {
      return guarded([&] {
        Ort::KeyValuePairs figures;
        if (!DeviceMemory::instance().statistics) {
          *result = figures.release();
          return;
        }
        figures.Add("Limit", "-1");  // none; with 0, ONNX Runtime takes it that nothing is counted
        figures.Add("InUse", std::to_string(static_cast<const Allocator*>(self)->in_use_).c_str());
        *result = figures.release();
      });
    };
  }

 private:
  void* allocate(size_t size) {
    void* block = DeviceMemory::instance().allocate(size);
    in_use_ += size;
    return block;
  }

  const OrtMemoryInfo* memory_;
  std::atomic<uint64_t> in_use_{0};
};

class Transfer : public OrtDataTransferImpl {
 public:
  Transfer() : OrtDataTransferImpl{} {
    ort_version_supported = ORT_API_VERSION;
    Release = [](OrtDataTransferImpl* self) noexcept { delete static_cast<Transfer*>(self); };
    CanCopy = [](const OrtDataTransferImpl*, const OrtMemoryDevice* from,
                 const OrtMemoryDevice* to) noexcept {
      return (is_ours(from) || is_host(from)) && (is_ours(to) || is_host(to)) &&
             (is_ours(from) || is_ours(to));
    };
    CopyTensors = [](OrtDataTransferImpl*, const OrtValue** from, OrtValue** to, OrtSyncStream**,
                     size_t count) noexcept {
      return guarded([&] {
        for (size_t i = 0; i < count; ++i) copy(from[i], to[i]);
      });
    };
  }

 private:
  static bool is_host(const OrtMemoryDevice* device) {
    return Ort::GetEpApi().MemoryDevice_GetDeviceType(device) == OrtMemoryInfoDeviceType_CPU;
  }
  static bool is_ours(const OrtMemoryDevice* device) {
    const OrtEpApi& api = Ort::GetEpApi();
    return api.MemoryDevice_GetDeviceType(device) == OrtMemoryInfoDeviceType_GPU &&
           api.MemoryDevice_GetVendorId(device) == vendor() &&
           api.MemoryDevice_GetDeviceId(device) == 0;
  }
};

class Provider : public OrtEp {
 public:
  explicit Provider(const OrtKernelRegistry* registry) : OrtEp{}, registry_(registry) {
    ort_version_supported = ORT_API_VERSION;
    GetName = [](const OrtEp*) noexcept { return kTestDevice; };
    GetCapability = [](OrtEp*, const OrtGraph* graph, OrtEpGraphSupportInfo* support) noexcept {
      return guarded([&] {
        const OrtEpApi& api = Ort::GetEpApi();
        for (const Ort::ConstNode& node : Ort::ConstGraph{graph}.GetNodes()) {
          if (std::string(node.GetName()).starts_with("host_")) continue;
          const OrtKernelDef* kernel = nullptr;
          Ort::ThrowOnError(api.EpGraphSupportInfo_LookUpKernel(support, node, &kernel));
          if (kernel == nullptr) continue;
          Ort::ThrowOnError(api.EpGraphSupportInfo_AddSingleNode(support, node));
        }
      });
    };
    GetKernelRegistry = [](OrtEp* self, const OrtKernelRegistry** kernels) noexcept {
      *kernels = static_cast<Provider*>(self)->registry_;
      return static_cast<OrtStatus*>(nullptr);
    };
  }

 private:
  const OrtKernelRegistry* registry_;
};

class Factory : public OrtEpFactory {
 public:
  Factory() : OrtEpFactory{} {
    ort_version_supported = ORT_API_VERSION;
    GetName = [](const OrtEpFactory*) noexcept { return kTestDevice; };
    GetVendor = [](const OrtEpFactory*) noexcept { return "wshare"; };
    GetVendorId = [](const OrtEpFactory*) noexcept { return vendor(); };
    GetVersion = [](const OrtEpFactory*) noexcept { return "1.0.0"; };
    IsStreamAware = [](const OrtEpFactory*) noexcept { return false; };
    GetSupportedDevices = [](OrtEpFactory* self, const OrtHardwareDevice* const* hardware,
                             size_t hardware_count, OrtEpDevice** devices, size_t capacity,
                             size_t* count) noexcept {
      *count = 0;
      return guarded([&] {
        if (hardware_count == 0 || capacity == 0 || DeviceMemory::instance().absent) return;
        devices[0] = static_cast<Factory*>(self)->make_device(hardware[0]);
        *count = 1;
      });
    };
    set_makers();
  }

 private:
  void set_makers() {
    CreateEp = [](OrtEpFactory* self, const OrtHardwareDevice* const*,
                  const OrtKeyValuePairs* const*, size_t, const OrtSessionOptions* options,
                  const OrtLogger*, OrtEp** provider) noexcept {
      return guarded([&] {
        const Ort::ConstSessionOptions given(options);
        const std::string prepack =
            given.GetConfigEntryOrDefault("ep.testdeviceexecutionprovider.prepack", "");
        if (!prepack.empty()) DeviceMemory::instance().prepacking = prepack == "1";
        *provider = new Provider(static_cast<Factory*>(self)->kernels());
      });
    };
    ReleaseEp = [](OrtEpFactory*, OrtEp* provider) noexcept {
      delete static_cast<Provider*>(provider);
    };
    CreateAllocator = [](OrtEpFactory*, const OrtMemoryInfo* memory, const OrtKeyValuePairs*,
                         OrtAllocator** allocator) noexcept {
      return guarded([&] {
        if (is_pinned(memory)) {
          *allocator = new PinnedAllocator(memory);
        } else {
          *allocator = new Allocator(memory);
        }
      });
    };
    ReleaseAllocator = [](OrtEpFactory*, OrtAllocator* allocator) noexcept {
      if (is_pinned(allocator->Info(allocator))) {
        delete static_cast<PinnedAllocator*>(allocator);
      } else {
        delete static_cast<Allocator*>(allocator);
      }
    };
    CreateDataTransfer = [](OrtEpFactory*, OrtDataTransferImpl** transfer) noexcept {
      return guarded([&] { *transfer = new Transfer; });
    };
  }

  OrtEpDevice* make_device(const OrtHardwareDevice* hardware) {
    const OrtEpApi& api = Ort::GetEpApi();
    OrtEpDevice* device = nullptr;
    Ort::ThrowOnError(api.CreateEpDevice(this, hardware, nullptr, nullptr, &device));
    Ort::ThrowOnError(api.EpDevice_AddAllocatorInfo(device, memory_));
    Ort::ThrowOnError(api.EpDevice_AddAllocatorInfo(device, pinned_));
    return device;
  }

  // Made at first use; sessions may be made by several threads.
  const OrtKernelRegistry* kernels() {
    const std::lock_guard lock(mutex_);
    if (!kernels_) kernels_ = make_kernels();
    return kernels_;
  }

  static bool is_pinned(const OrtMemoryInfo* memory) {
    return Ort::ConstMemoryInfo(memory).GetDeviceMemoryType() ==
           OrtDeviceMemoryType_HOST_ACCESSIBLE;
  }

  const Ort::MemoryInfo memory_{
      "TestDevice",      OrtMemoryInfoDeviceType_GPU, vendor(), 0, OrtDeviceMemoryType_DEFAULT, 0,
      OrtDeviceAllocator};
  const Ort::MemoryInfo pinned_{"TestDevicePinned",
                                OrtMemoryInfoDeviceType_GPU,
                                vendor(),
                                0,
                                OrtDeviceMemoryType_HOST_ACCESSIBLE,
                                0,
                                OrtDeviceAllocator};
  std::mutex mutex_;
  Ort::KernelRegistry kernels_{nullptr};
};

}  // namespace
}  // namespace wshare::test

// The entry points of a plugin library.
WSHARE_TEST_DEVICE_EXPORT OrtStatus* CreateEpFactories(const char*, const OrtApiBase* base,
                                                       const OrtLogger*, OrtEpFactory** factories,
                                                       size_t capacity, size_t* count) {
  Ort::InitApi(base->GetApi(ORT_API_VERSION));
  return wshare::test::guarded([&] {
    if (capacity == 0) wshare::test::fail("there is no room for a factory");
    factories[0] = new wshare::test::Factory;
    *count = 1;
  });
}

WSHARE_TEST_DEVICE_EXPORT OrtStatus* ReleaseEpFactory(OrtEpFactory* factory) {
  delete static_cast<wshare::test::Factory*>(factory);
  return nullptr;
}
