// The functions of NVIDIA's driver by which wshare asks for free memory, for the test device, which
// gives itself out as NVIDIA's: of 8 GiB, what it has not given out. So what a test sees free is
// counted by the device itself, whatever its allocators tell.

#include <cstddef>

#include "test_device/test_device.h"

namespace {

int contexts = 0;  // pushed

}  // namespace

extern "C" {

int cuInit(unsigned) { return 0; }

int cuDeviceGetCount(int* count) {
  *count = 1;
  return 0;
}

int cuDeviceGet(int* device, int number) {
  *device = number;
  return number == 0 ? 0 : 101;  // CUDA_ERROR_INVALID_DEVICE
}

int cuDevicePrimaryCtxRetain(void** context, int) {
  *context = &contexts;
  return 0;
}

int cuDevicePrimaryCtxRelease_v2(int) { return 0; }

int cuCtxPushCurrent_v2(void*) {
  ++contexts;
  return 0;
}

int cuCtxPopCurrent_v2(void**) {
  --contexts;
  return 0;
}

int cuMemGetInfo_v2(size_t* free, size_t* total) {
  if (contexts != 1) return 201;  // CUDA_ERROR_INVALID_CONTEXT
  wshare::test::DeviceCounts counts;
  get_test_device_counts(&counts);
  *total = size_t{8} << 30;
  *free = *total - static_cast<size_t>(counts.in_use);
  return 0;
}

}  // extern "C"
