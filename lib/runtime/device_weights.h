#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include "format/manifest/manifest.h"
#include "runtime/device_block.h"
#include "util/mapped_file.h"
#include "wshare/device.h"

namespace wshare {

// A block of a device's memory, freed with the object.
class DeviceBuffer {
 public:
  // Throws Error(kRuntime) if there is no room for `size` bytes, which are then added to `total`
  // for the life of the block.
  DeviceBuffer(const Device& device, uint64_t size, std::shared_ptr<std::atomic<uint64_t>> total);
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;
  ~DeviceBuffer();

  std::byte* bytes() const { return block_->bytes(); }

 private:
  Device device_;
  uint64_t size_;
  std::shared_ptr<std::atomic<uint64_t>> total_;
  std::optional<DeviceBlock> block_;
};

// Bytes that are on a device: the buffers that they lie in must be kept.
struct PlacedBytes {
  std::vector<const std::byte*> addresses;  // on the device
  std::vector<std::shared_ptr<const void>> buffers;
};

// How is proven that sessions take weights from a device.
enum class DeviceMeter { kCounts, kFreeMemory, kAbsence };

// The bytes of a bundle on one device: each extent once, for as long as anything keeps its buffer.
// All functions may be called by several threads.
class DeviceWeights {
 public:
  // Throws Error(kUnsupported) if the device cannot be used: boot().
  explicit DeviceWeights(Device device);

  // Returns the addresses of `extents`, in their order. What is not on the device yet is copied
  // there from `blobs`, into one new buffer, or one for each where pointers are handles; see
  // copy_to_device().
  //
  // Throws Error(kRuntime) if there is no room on the device.
  PlacedBytes place(std::span<const Extent> extents, const BytesOf& bytes_of);

  // Returns the addresses of copies of `pieces`, which are no extents, in new buffers.
  PlacedBytes upload(std::span<const std::span<const std::byte>> pieces) const;

  // Returns the bytes of all buffers now.
  uint64_t bytes() const { return *total_; }

  const Device& device() const { return device_; }

  // True if kernels there end the process where a factor of a product has no elements.
  bool fails_on_empty() const { return fails_on_empty_; }

  // The best that is there; kCounts until a session is known to have an allocator that counts none.
  DeviceMeter meter() const { return meter_; }
  void set_meter(DeviceMeter meter) { meter_ = meter; }

 private:
  struct Home {
    std::weak_ptr<const DeviceBuffer> buffer;
    const std::byte* address = nullptr;
    uint64_t size = 0;
  };
  // Blob and offset; where pointers are handles also the size, else 0: the first bytes of a buffer
  // are no buffer there.
  using Start = std::tuple<uint32_t, uint64_t, uint64_t>;

  Start start_of(const Extent& extent) const {
    return {extent.blob, extent.offset, has_addresses_ ? 0 : extent.size};
  }

  PlacedBytes upload_together(std::span<const std::span<const std::byte>> pieces) const;
  PlacedBytes upload_each(std::span<const std::span<const std::byte>> pieces) const;

  // Adds what is there already to `placed`; returns false if it is not there.
  bool find(const Extent& extent, const std::byte*& address, PlacedBytes& placed) const;

  Device device_;
  bool has_addresses_;
  bool fails_on_empty_ = false;
  std::shared_ptr<std::atomic<uint64_t>> total_ = std::make_shared<std::atomic<uint64_t>>(0);
  std::atomic<DeviceMeter> meter_{DeviceMeter::kCounts};
  mutable std::mutex mutex_;
  std::map<Start, Home> homes_;  // guarded by mutex_
};

}  // namespace wshare
