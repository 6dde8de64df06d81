#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
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

  std::byte* bytes() const { return block_.bytes(); }

 private:
  uint64_t size_;
  std::shared_ptr<std::atomic<uint64_t>> total_;
  DeviceBlock block_;
};

// Bytes that are on a device: the buffers that they lie in must be kept.
struct PlacedBytes {
  std::vector<const std::byte*> addresses;  // on the device
  std::vector<std::shared_ptr<const void>> buffers;
};

// The bytes of a bundle on one device: each extent once, for as long as anything keeps its buffer.
// All functions may be called by several threads.
class DeviceWeights {
 public:
  explicit DeviceWeights(Device device) : device_(std::move(device)) {}

  // Returns the addresses of `extents`, in their order. What is not on the device yet is copied
  // there from `blobs`, into one new buffer; see copy_to_device().
  //
  // Throws Error(kRuntime) if there is no room on the device.
  PlacedBytes place(std::span<const Extent> extents, const BytesOf& bytes_of);

  // Returns the addresses of copies of `pieces`, which are no extents, in a new buffer.
  PlacedBytes upload(std::span<const std::span<const std::byte>> pieces) const;

  // Returns the bytes of all buffers now.
  uint64_t bytes() const { return *total_; }

  const Device& device() const { return device_; }

  // Whether sessions there have allocators that count no bytes; false until one is known to.
  bool is_uncounted() const { return uncounted_; }
  void set_uncounted() { uncounted_ = true; }

 private:
  struct Home {
    std::weak_ptr<const DeviceBuffer> buffer;
    const std::byte* address = nullptr;
    uint64_t size = 0;
  };
  using Start = std::pair<uint32_t, uint64_t>;  // blob and offset

  // Adds what is there already to `placed`; returns false if it is not there.
  bool find(const Extent& extent, const std::byte*& address, PlacedBytes& placed) const;

  Device device_;
  std::shared_ptr<std::atomic<uint64_t>> total_ = std::make_shared<std::atomic<uint64_t>>(0);
  std::atomic<bool> uncounted_{false};
  mutable std::mutex mutex_;
  std::map<Start, Home> homes_;  // guarded by mutex_
};

}  // namespace wshare
