#include "runtime/device_weights.h"

#include <algorithm>
#include <optional>
#include <string>

#include "format/layout.h"
#include "runtime/copy_to_device.h"
#include "runtime/device_boot.h"
#include "runtime/free_memory.h"
#include "runtime/known_provider.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

constexpr uint64_t kDeviceAlignment = 256;  // what cudaMalloc gives and kernels may count on
constexpr uint64_t kElement = 4;            // of graphics APIs: sizes are multiples of it
constexpr StagingSizes kWhole{.least = SIZE_MAX};

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
    : device_(device),
      size_(size),
      total_(std::move(total)),
      block_(std::in_place, device.ep_device().GetMemoryInfo(OrtDeviceMemoryType_DEFAULT),
             static_cast<size_t>(size)) {
  if (!block_->has_allocator())
    throw Error(ErrorCode::kUnsupported, in_quotes(device.provider()) + ": has no allocator");
  if (block_->bytes() == nullptr) refuse_for_room(device, size, block_->complaint());
  *total_ += size_;
}

DeviceBuffer::~DeviceBuffer() {
  const auto turn = take_turn(device_);
  *total_ -= size_;
  block_.reset();
}

DeviceWeights::DeviceWeights(Device device)
    : device_(std::move(device)), has_addresses_(wshare::has_addresses(device_.ep_device())) {
  const KnownProvider* known = find_known_provider(device_.provider());
  fails_on_empty_ = known != nullptr && known->fails_on_empty;
  boot(device_);
}

PlacedBytes DeviceWeights::upload(std::span<const std::span<const std::byte>> pieces) const {
  const auto turn = take_turn(device_);
  return has_addresses_ ? upload_together(pieces) : upload_each(pieces);
}

PlacedBytes DeviceWeights::upload_together(
    std::span<const std::span<const std::byte>> pieces) const {
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

PlacedBytes DeviceWeights::upload_each(std::span<const std::span<const std::byte>> pieces) const {
  PlacedBytes placed;
  for (const std::span<const std::byte> piece : pieces) {
    const uint64_t size = std::max<uint64_t>(align_up(piece.size(), kElement), kElement);
    const auto buffer = std::make_shared<DeviceBuffer>(device_, size, total_);
    // One at a time: each check waits for the device, which then gives back what the copy before
    // took beside.
    const std::string why = why_not_kept(device_, buffer->bytes(), static_cast<size_t>(size));
    if (!why.empty()) refuse_for_room(device_, size, why);
    const Upload upload{piece.data(), buffer->bytes(), piece.size()};
    copy_to_device(device_, {&upload, 1}, kWhole);
    placed.addresses.push_back(buffer->bytes());
    placed.buffers.push_back(buffer);
  }
  return placed;
}

bool DeviceWeights::find(const Extent& extent, const std::byte*& address,
                         PlacedBytes& placed) const {
  const auto home = homes_.find(start_of(extent));
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
    Extent& longest = missing[start_of(extents[i])];
    if (longest.size < extents[i].size) longest = extents[i];
  }
  if (!missing.empty()) {
    std::vector<std::span<const std::byte>> pieces;
    for (const auto& [start, extent] : missing) pieces.push_back(bytes_of(extent));
    const PlacedBytes uploaded = upload(pieces);
    size_t number = 0;
    for (const auto& [start, extent] : missing) {
      const auto& buffer = uploaded.buffers.at(has_addresses_ ? 0 : number);
      homes_[start] = {std::static_pointer_cast<const DeviceBuffer>(buffer),
                       uploaded.addresses[number++], extent.size};
    }
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
