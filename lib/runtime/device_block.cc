#include "runtime/device_block.h"

#include <algorithm>
#include <exception>

#include "wshare/environment.h"

namespace wshare {
namespace {

// Reserve() takes what is asked for and no more, where Alloc() may be an arena that grows.
auto reserve_function(const OrtAllocator& allocator) {
  constexpr uint32_t kVersionWithReserve = 18;
  const bool reserves = allocator.version >= kVersionWithReserve && allocator.Reserve != nullptr;
  return reserves ? allocator.Reserve : allocator.Alloc;
}

}  // namespace

DeviceBlock::DeviceBlock(const OrtMemoryInfo* memory, size_t size) {
  if (memory != nullptr) allocator_ = environment().GetSharedAllocator(memory);
  if (allocator_ == nullptr) return;
  try {
    bytes_ = static_cast<std::byte*>(reserve_function(*allocator_)(allocator_, size));
  } catch (const std::exception& exception) {
    // The API says null where there is no room; CUDA's allocators throw through it.
    complaint_ = exception.what();
    std::replace(complaint_.begin(), complaint_.end(), '\n', ' ');
  }
}

DeviceBlock::~DeviceBlock() {
  if (bytes_ != nullptr) allocator_->Free(allocator_, bytes_);
}

}  // namespace wshare
