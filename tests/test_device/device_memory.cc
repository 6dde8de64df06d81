#include "test_device/device_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <stdexcept>
#include <string>

namespace wshare::test {
namespace {

constexpr size_t kCapacity = size_t{4} << 30;  // of addresses; pages exist from their first use on
constexpr size_t kGranule = 256;               // as cudaMalloc aligns
constexpr size_t kGuardBytes = 16;
constexpr std::byte kGuard{0xA5};

[[noreturn]] void die(const char* what) {
  std::fprintf(stderr, "test device: %s\n", what);
  std::abort();
}

}  // namespace

void fail(const char* what) { throw std::runtime_error(std::string("test device: ") + what); }

DeviceMemory& DeviceMemory::instance() {
  static auto* const memory = new DeviceMemory;
  return *memory;
}

DeviceMemory::DeviceMemory() {
  const int file = ::memfd_create("test_device", MFD_CLOEXEC);
  if (file < 0 || ::ftruncate(file, static_cast<off_t>(kCapacity)) != 0) die("no memory file");
  const auto map = [&](int protection) {
    void* address = ::mmap(nullptr, kCapacity, protection, MAP_SHARED | MAP_NORESERVE, file, 0);
    if (address == MAP_FAILED) die("no address space");
    return static_cast<std::byte*>(address);
  };
  device_ = map(PROT_NONE);
  kernel_ = map(PROT_READ | PROT_WRITE);
  ::close(file);
  unused_[0] = kCapacity;
  const auto is_set = [](const char* name) { return std::getenv(name) != nullptr; };
  absent = is_set("WSHARE_TEST_DEVICE_ABSENT");
  handles = is_set("WSHARE_TEST_DEVICE_HANDLES");
}

void* DeviceMemory::allocate(size_t size) {
  const std::lock_guard lock(mutex_);
  if (size > std::min<uint64_t>(room, kCapacity - kGuardBytes - kGranule) - in_use_)
    fail("no room");
  const size_t span = (size + kGuardBytes + kGranule - 1) / kGranule * kGranule;
  const auto fits = [&](const auto& piece) { return piece.second >= span; };
  const auto found = std::find_if(unused_.begin(), unused_.end(), fits);
  if (found == unused_.end()) fail("no room");
  const auto [offset, length] = *found;
  unused_.erase(found);
  if (length > span) unused_[offset + span] = length - span;
  used_[offset] = {size, span};
  std::fill(kernel_ + offset + size, kernel_ + offset + span, kGuard);
  in_use_ += size;
  peak_ = std::max(peak_, in_use_);
  ++allocations_;
  return device_ + offset;
}

size_t DeviceMemory::free(const void* block) {
  if (block == nullptr) return 0;
  const std::lock_guard lock(mutex_);
  const auto found =
      used_.find(static_cast<size_t>(static_cast<const std::byte*>(block) - device_));
  if (found == used_.end()) die("what is freed is no block of the device");
  const auto [offset, sizes] = *found;
  const bool intact = std::all_of(kernel_ + offset + sizes.size, kernel_ + offset + sizes.span,
                                  [](std::byte byte) { return byte == kGuard; });
  if (!intact) die("something was written behind a block");
  used_.erase(found);
  in_use_ -= sizes.size;
  auto piece = unused_.emplace(offset, sizes.span).first;
  const auto next = std::next(piece);
  if (next != unused_.end() && piece->first + piece->second == next->first) {
    piece->second += next->second;
    unused_.erase(next);
  }
  if (piece != unused_.begin()) {
    const auto before = std::prev(piece);
    if (before->first + before->second == piece->first) {
      before->second += piece->second;
      unused_.erase(piece);
    }
  }
  return sizes.size;
}

void* DeviceMemory::allocate_pinned(size_t size) {
  const std::lock_guard lock(mutex_);
  void* block = size > pinned_room - pinned_ ? nullptr : std::malloc(size);
  if (block == nullptr) fail("no room to pin");
  pinned_ += size;
  pinned_peak_ = std::max(pinned_peak_, pinned_);
  return block;
}

void DeviceMemory::free_pinned(void* block, size_t size) {
  std::free(block);
  const std::lock_guard lock(mutex_);
  pinned_ -= size;
}

bool DeviceMemory::has(const void* address) const {
  return address >= device_ && address < device_ + kCapacity;
}

std::byte* DeviceMemory::view(const void* device_address, size_t size) {
  const std::lock_guard lock(mutex_);
  const auto* address = static_cast<const std::byte*>(device_address);
  if (!has(address)) {
    ++access_errors_;
    fail("this is no device memory");
  }
  const auto offset = static_cast<size_t>(address - device_);
  const auto behind = used_.upper_bound(offset);
  if (behind != used_.begin()) {
    const auto& [start, block] = *std::prev(behind);
    const size_t skipped = offset - start;
    if (handles && skipped > 0) {
      ++access_errors_;
      fail("an address was made of a handle");
    }
    if (skipped <= block.size && size <= block.size - skipped) return kernel_ + offset;
  }
  ++access_errors_;
  fail("device memory was freed, or is too short");
}

DeviceCounts DeviceMemory::counts() const {
  const std::lock_guard lock(mutex_);
  return {in_use_,   peak_,   allocations_, uploaded,    downloaded,
          prepacked, pinned_, pinned_peak_, from_pinned, access_errors_};
}

void DeviceMemory::reset_peak() {
  const std::lock_guard lock(mutex_);
  peak_ = in_use_;
  pinned_peak_ = pinned_;
}

}  // namespace wshare::test

void get_test_device_counts(wshare::test::DeviceCounts* counts) {
  *counts = wshare::test::DeviceMemory::instance().counts();
}

void reset_test_device_peak() { wshare::test::DeviceMemory::instance().reset_peak(); }

void set_test_device_prepacking(bool on) { wshare::test::DeviceMemory::instance().prepacking = on; }

void set_test_device_statistics(bool on) { wshare::test::DeviceMemory::instance().statistics = on; }

void set_test_device_handles(bool on) { wshare::test::DeviceMemory::instance().handles = on; }

void set_test_device_room(uint64_t device, uint64_t pinned) {
  wshare::test::DeviceMemory::instance().room = device;
  wshare::test::DeviceMemory::instance().pinned_room = pinned;
}
