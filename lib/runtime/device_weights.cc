#include "runtime/device_weights.h"

#include <algorithm>
#include <optional>
#include <string>

#include "format/layout.h"
#include "runtime/copy_to_device.h"
#include "runtime/free_memory.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

constexpr uint64_t kDeviceAlignment = 256;  // what cudaMalloc gives and kernels may count on

[[noreturn]] void refuse_for_room(const Device& device, uint64_t size,
                                  const std::string& complaint) {
  const std::optional<uint64_t> free = free_memory(device.ep_device());
  std::string message = in_quotes(device.provider()) + ": no room for " + format_bytes(size) +
                        " of weights on the device";
  if (free) message += ", where " + format_bytes(*free) + " are free";
  const bool is_clear = complaint.empty() || (free && *free < size);
  throw Error(ErrorCode::kRuntime, message, is_clear ? "" : "the provider says: " + complaint);
}

}  // namespace

DeviceBuffer::DeviceBuffer(const Device& device, uint64_t size,
                           std::shared_ptr<std::atomic<uint64_t>> total)
    : size_(size),
      total_(std::move(total)),
      block_(device.ep_device().GetMemoryInfo(OrtDeviceMemoryType_DEFAULT),
             static_cast<size_t>(size)) {
  if (!block_.has_allocator())
    throw Error(ErrorCode::kUnsupported, in_quotes(device.provider()) + ": has no allocator");
  if (block_.bytes() == nullptr) refuse_for_room(device, size, block_.complaint());
  *total_ += size_;
}

DeviceBuffer::~DeviceBuffer() { *total_ -= size_; }

PlacedBytes DeviceWeights::upload(std::span<const std::span<const std::byte>> pieces) const {
  std::vector<uint64_t> offsets;
  uint64_t size = 0;
  for (const std::span<const std::byte> piece : pieces) {
    offsets.push_back(size);
    size = align_up(size + piece.size(), kDeviceAlignment);
  }
  const auto buffer =
      std::make_shared<DeviceBuffer>(device_, std::max(size, kDeviceAlignment), total_);
  PlacedBytes placed;
  std::vector<Upload> uploads;
  for (size_t i = 0; i < pieces.size(); ++i) {
    placed.addresses.push_back(buffer->bytes() + offsets[i]);
    uploads.push_back({pieces[i].data(), buffer->bytes() + offsets[i], pieces[i].size()});
  }
  copy_to_device(device_, uploads);
  placed.buffers.push_back(buffer);
  return placed;
}

bool DeviceWeights::find(const Extent& extent, const std::byte*& address,
                         PlacedBytes& placed) const {
  const auto home = homes_.find({extent.blob, extent.offset});
  if (home == homes_.end() || home->second.size < extent.size) return false;
  std::shared_ptr<const DeviceBuffer> buffer = home->second.buffer.lock();
  if (buffer == nullptr) return false;
  address = home->second.address;
  placed.buffers.push_back(std::move(buffer));
  return true;
}

PlacedBytes DeviceWeights::place(std::span<const Extent> extents, const BytesOf& bytes_of) {
  PlacedBytes placed;
  placed.addresses.resize(extents.size(), nullptr);
  const std::lock_guard lock(mutex_);
  // Of each place in a blob the longest extent: a tensor may be the first bytes of another.
  std::map<Start, Extent> missing;
  for (size_t i = 0; i < extents.size(); ++i) {
    if (find(extents[i], placed.addresses[i], placed)) continue;
    Extent& longest = missing[{extents[i].blob, extents[i].offset}];
    if (longest.size < extents[i].size) longest = extents[i];
  }
  if (!missing.empty()) {
    std::vector<std::span<const std::byte>> pieces;
    for (const auto& [start, extent] : missing) pieces.push_back(bytes_of(extent));
    const PlacedBytes uploaded = upload(pieces);
    const auto buffer = std::static_pointer_cast<const DeviceBuffer>(uploaded.buffers.at(0));
    size_t number = 0;
    for (const auto& [start, extent] : missing)
      homes_[start] = {buffer, uploaded.addresses[number++], extent.size};
    for (size_t i = 0; i < extents.size(); ++i) {
      if (placed.addresses[i] == nullptr) find(extents[i], placed.addresses[i], placed);
    }
  }
  std::sort(placed.buffers.begin(), placed.buffers.end());
  placed.buffers.erase(std::unique(placed.buffers.begin(), placed.buffers.end()),
                       placed.buffers.end());
  return placed;
}

}  // namespace wshare
