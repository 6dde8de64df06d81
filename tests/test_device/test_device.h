#pragma once

// An execution provider for tests, a plugin library of ONNX Runtime: "TestDeviceExecutionProvider".
//
// Its device is host memory that ONNX Runtime takes for the memory of a GPU. Addresses of it cannot
// be read or written by the host, as on a GPU of its own memory; every byte is counted; kernels and
// copies check that what they are given is device memory that is in use. So a test sees what N
// sessions hold on a device, on a machine without one. It tells nothing of speed.
//
// Kernels (float32): Add Mul MatMul Gemm Relu Softmax Transpose Gather, and Identity and Reshape of
// any type. A node whose name starts with "host_" is left to the CPU.
//
// It also offers memory of the host that it reads by itself (pinned), as GPUs do.
//
// A test that links the library sees the same counts as ONNX Runtime, which opens it by path.

#include <cstdint>

#define WSHARE_TEST_DEVICE_EXPORT extern "C" __attribute__((visibility("default")))

namespace wshare::test {

inline constexpr char kTestDevice[] = "TestDeviceExecutionProvider";

// Bytes and numbers since the start of the process; in_use and peak of now.
struct DeviceCounts {
  uint64_t in_use = 0;
  uint64_t peak = 0;  // largest in_use since reset_test_device_peak()
  uint64_t allocations = 0;
  uint64_t uploaded = 0;       // host to device
  uint64_t downloaded = 0;     // device to host
  uint64_t prepacked = 0;      // weights that MatMul was offered for packing
  uint64_t pinned = 0;         // of the host, in use
  uint64_t pinned_peak = 0;    // largest since reset_test_device_peak()
  uint64_t from_pinned = 0;    // of `uploaded`
  uint64_t access_errors = 0;  // pointers that are not, or no longer, device memory
};

}  // namespace wshare::test

WSHARE_TEST_DEVICE_EXPORT void get_test_device_counts(wshare::test::DeviceCounts* counts);
WSHARE_TEST_DEVICE_EXPORT void reset_test_device_peak();

// Whether MatMul makes a packed copy of constant weights, as some kernels of GPUs do; off at first.
// Sessions made from then on follow it. As an option of the provider: prepack=1.
WSHARE_TEST_DEVICE_EXPORT void set_test_device_prepacking(bool on);

// Whether its allocators tell what they have given out, as they do at first. The counts above go
// on.
WSHARE_TEST_DEVICE_EXPORT void set_test_device_statistics(bool on);

// Whether its addresses are handles: nothing can be added to them, as on devices that are reached
// through a graphics API, and its memory is of a vendor that wshare does not know. To be set before
// it is registered. In the environment: WSHARE_TEST_DEVICE_HANDLES=1; with
// WSHARE_TEST_DEVICE_ABSENT=1 it offers no device.
WSHARE_TEST_DEVICE_EXPORT void set_test_device_handles(bool on);

// How many bytes the device has, and how many of the host it pins; all that there are at first.
// Where there is no room, its allocators throw, as those of CUDA do.
WSHARE_TEST_DEVICE_EXPORT void set_test_device_room(uint64_t device, uint64_t pinned);
