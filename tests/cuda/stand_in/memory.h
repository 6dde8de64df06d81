#pragma once

#include <cstddef>
#include <stdexcept>

#include "test_device/device_memory.h"

namespace wshare::test {

inline constexpr size_t kDeviceBytes = size_t{3} << 30;  // less than DeviceMemory has addresses for

// Returns a new block of device memory; null if there is no room.
inline void* take_device_memory(size_t size) {
  if (DeviceMemory::instance().counts().in_use + size > kDeviceBytes) return nullptr;
  return size == 0 ? nullptr : DeviceMemory::instance().allocate(size);
}

// Returns where the host reaches the `size` bytes at `address`, which may be the device's or the
// host's. Throws if they are of a block of the device that is not, or no longer, in use.
template <typename Byte>
Byte* host_address(Byte* address, size_t size) {
  if (!DeviceMemory::instance().has(address)) return address;
  return reinterpret_cast<Byte*>(DeviceMemory::instance().view(address, size));
}

}  // namespace wshare::test
