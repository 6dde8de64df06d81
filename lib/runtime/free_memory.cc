#include "runtime/free_memory.h"

#include <cstddef>

#include "runtime/cuda_driver.h"

namespace wshare {
namespace {

constexpr uint32_t kNvidia = 0x10DE;

// The functions of the driver that are needed.
struct Driver {
  using Context = void*;
  int (*init)(unsigned) = nullptr;
  int (*get)(int*, int) = nullptr;
  int (*retain)(Context*, int) = nullptr;
  int (*release)(int) = nullptr;
  int (*push)(Context) = nullptr;
  int (*pop)(Context*) = nullptr;
  int (*memory)(size_t*, size_t*) = nullptr;
  bool is_complete = false;

  Driver() {
    void* library = open_cuda_driver();
    if (library == nullptr) return;
    is_complete = find_function(library, "cuInit", init) &&
                  find_function(library, "cuDeviceGet", get) &&
                  find_function(library, "cuDevicePrimaryCtxRetain", retain) &&
                  find_function(library, "cuDevicePrimaryCtxRelease_v2", release) &&
                  find_function(library, "cuCtxPushCurrent_v2", push) &&
                  find_function(library, "cuCtxPopCurrent_v2", pop) &&
                  find_function(library, "cuMemGetInfo_v2", memory) && init(0) == 0;
  }
};

// The provider works in the device's primary context, which is counted by who retains it.
std::optional<uint64_t> ask(const Driver& driver, int number) {
  int device = 0;
  Driver::Context context = nullptr;
  if (driver.get(&device, number) != 0 || driver.retain(&context, device) != 0) return std::nullopt;
  size_t free = 0, total = 0;
  bool known = false;
  if (driver.push(context) == 0) {
    known = driver.memory(&free, &total) == 0;
    driver.pop(&context);
  }
  driver.release(device);
  return known ? std::optional<uint64_t>(free) : std::nullopt;
}

}  // namespace

std::optional<uint64_t> free_memory(Ort::ConstEpDevice device) {
  const auto memory = device.GetMemoryInfo(OrtDeviceMemoryType_DEFAULT);
  if (memory == nullptr || memory.GetVendorId() != kNvidia) return std::nullopt;
  static const Driver driver;
  if (!driver.is_complete) return std::nullopt;
  return ask(driver, memory.GetDeviceId());
}

}  // namespace wshare
