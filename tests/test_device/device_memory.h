#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>

#include "test_device/test_device.h"

namespace wshare::test {

// Fails a kernel or a copy: what happened on the device, as a message of ONNX Runtime.
[[noreturn]] void fail(const char* what);

// The memory of the test device: blocks that have two addresses each. The host sees the device
// address, which it can neither read nor write; kernels use the other one.
class DeviceMemory {
 public:
  static DeviceMemory&
  instance();  // never destroyed: blocks may be freed at the end of the process

  // Returns the device address of a new block. Throws if there is no room.
  void* allocate(size_t size);

  // Frees a block of allocate() and returns its size. Ends the process if it is none, or if bytes
  // behind the block were written to.
  size_t free(const void* block);

  // The same of memory of the host. `size` is what allocate_pinned() was given.
  void* allocate_pinned(size_t size);
  void free_pinned(void* block, size_t size);

  // Whether `address` is one of the device, in use or not.
  bool has(const void* address) const;

  // Returns the address by which kernels reach the `size` bytes at `device_address`.
  //
  // Throws unless they lie in one block.
  std::byte* view(const void* device_address, size_t size);

  std::atomic<uint64_t> uploaded{0}, from_pinned{0}, downloaded{0}, prepacked{0};
  std::atomic<bool> prepacking{false}, statistics{true}, handles{false}, absent{false};
  std::atomic<uint64_t> room{UINT64_MAX}, pinned_room{UINT64_MAX};

  DeviceCounts counts() const;
  void reset_peak();

 private:
  DeviceMemory();

  struct Block {
    size_t size;  // as asked for
    size_t span;  // with what fills it up
  };

  mutable std::mutex mutex_;
  std::byte* device_ = nullptr;
  std::byte* kernel_ = nullptr;      // the same pages
  std::map<size_t, Block> used_;     // by offset
  std::map<size_t, size_t> unused_;  // sizes by offset; no two of them touch
  uint64_t in_use_ = 0, peak_ = 0, allocations_ = 0, access_errors_ = 0;
  uint64_t pinned_ = 0, pinned_peak_ = 0;
};

}  // namespace wshare::test
