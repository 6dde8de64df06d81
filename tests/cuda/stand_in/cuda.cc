// What ONNX Runtime's CUDA provider calls of CUDA's runtime and driver. All are found by name, so
// their types are those of CUDA 13 only as far as it matters. 0 is success everywhere.

#include <cstdlib>
#include <cstring>

#include "cuda/stand_in/memory.h"

namespace {

using namespace wshare::test;

constexpr int kOutOfMemory = 2, kNotFound = 1;
thread_local int last_error = 0;
int something;  // what handles point to: nobody looks

int fail_with(int error) { return last_error = error; }

// The beginning of cudaDeviceProp, of which the rest is numbers nobody asks for.
struct Properties {
  char name[256];
  char ids[28];
  size_t memory, shared_memory;
  int registers, warp;
  size_t pitch;
  int threads, block[3], grid[3];
  size_t constant_memory;
  int major, minor;
  char rest[600];
};

// The beginning of cudaPointerAttributes.
struct Pointer {
  int type, device;
  const void *on_device, *on_host;
};

int give_handle(void** handle) {
  *handle = &something;
  return 0;
}

}  // namespace

extern "C" {

int cudaMalloc(void** block, size_t size) {
  *block = take_device_memory(size);
  return *block != nullptr || size == 0 ? 0 : fail_with(kOutOfMemory);
}
int cudaFree(void* block) {
  DeviceMemory::instance().free(block);
  return 0;
}
int cudaMallocHost(void** block, size_t size) {
  *block = std::malloc(size);
  return *block != nullptr ? 0 : fail_with(kOutOfMemory);
}
int cudaHostAlloc(void** block, size_t size, unsigned) { return cudaMallocHost(block, size); }
int cudaFreeHost(void* block) {
  std::free(block);
  return 0;
}

int cudaMemcpy(void* to, const void* from, size_t size, int) {
  std::memmove(host_address(to, size), host_address(from, size), size);
  return 0;
}
int cudaMemcpyAsync(void* to, const void* from, size_t size, int kind, void*) {
  return cudaMemcpy(to, from, size, kind);
}
int cudaMemset(void* to, int byte, size_t size) {
  std::memset(host_address(to, size), byte, size);
  return 0;
}
int cudaMemsetAsync(void* to, int byte, size_t size, void*) { return cudaMemset(to, byte, size); }
int cudaPointerGetAttributes(Pointer* pointer, const void* address) {
  constexpr int kUnknown = 0, kOfDevice = 2;
  const bool is_on_device = DeviceMemory::instance().has(address);
  *pointer = {is_on_device ? kOfDevice : kUnknown, 0, is_on_device ? address : nullptr,
              is_on_device ? nullptr : address};
  return 0;
}
int cudaMemGetInfo(size_t* free, size_t* total) {
  *total = kDeviceBytes;
  *free = kDeviceBytes - DeviceMemory::instance().counts().in_use;
  return 0;
}

int cudaGetDeviceCount(int* count) {
  *count = 1;
  return 0;
}
int cudaGetDevice(int* device) {
  *device = 0;
  return 0;
}
int cudaGetDeviceProperties(Properties* properties, int) {
  *properties = {};
  std::strcpy(properties->name, "stand-in");
  properties->memory = kDeviceBytes;
  properties->warp = 32;
  properties->threads = 1024;
  properties->major = 9;
  return 0;
}
int cudaDeviceGetAttribute(int* value, int attribute, int) {
  constexpr int kMajor = 75, kMinor = 76;
  *value = attribute == kMajor ? 9 : attribute == kMinor ? 0 : 1024;
  return 0;
}
int cudaDriverGetVersion(int* version) {
  *version = 13000;
  return 0;
}
int cudaRuntimeGetVersion(int* version) { return cudaDriverGetVersion(version); }
const char* cudaGetErrorString(int error) {
  return error == kOutOfMemory ? "out of memory" : "an error of the stand-in";
}
const char* cudaGetErrorName(int) { return "cudaError"; }
int cudaPeekAtLastError() { return last_error; }
int cudaGetLastError() {
  const int error = last_error;
  last_error = 0;
  return error;
}

int cudaStreamCreate(void** stream) { return give_handle(stream); }
int cudaStreamCreateWithFlags(void** stream, unsigned) { return give_handle(stream); }
int cudaEventCreate(void** event) { return give_handle(event); }
int cudaEventCreateWithFlags(void** event, unsigned) { return give_handle(event); }
int cudaStreamIsCapturing(void*, int* state) {
  *state = 0;
  return 0;
}
int cudaLaunchHostFunc(void*, void (*function)(void*), void* data) {
  function(data);
  return 0;
}
int cudaFuncGetAttributes(void* attributes, const void*) {
  std::memset(attributes, 0, 64);
  return 0;
}
int cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void*, int, size_t,
                                                           unsigned) {
  *blocks = 1;
  return 0;
}
int cudaGetDriverEntryPointByVersion(const char*, void** function, unsigned, unsigned long long,
                                     int* result) {
  *function = nullptr;
  if (result != nullptr) *result = kNotFound;
  return 0;
}
void** __cudaRegisterFatBinary(void*) {
  static void* binary = nullptr;
  return &binary;
}
int __cudaGetKernel(void** kernel, const void* function) {
  *kernel = const_cast<void*>(function);
  return 0;
}

// The driver, of which wshare and its tests ask for free memory and memory.
int cuDeviceGetCount(int* count) { return cudaGetDeviceCount(count); }
int cuDeviceGet(int* device, int number) {
  *device = number;
  return number == 0 ? 0 : 101;  // CUDA_ERROR_INVALID_DEVICE
}
int cuDevicePrimaryCtxRetain(void** context, int) { return give_handle(context); }
int cuMemGetInfo_v2(size_t* free, size_t* total) { return cudaMemGetInfo(free, total); }
int cuMemAlloc_v2(unsigned long long* block, size_t size) {
  void* address = nullptr;
  const int result = cudaMalloc(&address, size);
  *block = reinterpret_cast<unsigned long long>(address);
  return result;
}
int cuMemFree_v2(unsigned long long block) { return cudaFree(reinterpret_cast<void*>(block)); }

}  // extern "C"
