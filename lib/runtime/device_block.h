#pragma once

#include <onnxruntime_cxx_api.h>

#include <cstddef>
#include <string>

namespace wshare {

// Memory from the allocator that a provider has for all, freed with the object.
class DeviceBlock {
 public:
  // Leaves the block empty where there is no allocator for `memory`, or no room for `size` bytes.
  DeviceBlock(const OrtMemoryInfo* memory, size_t size);
  DeviceBlock(const DeviceBlock&) = delete;
  DeviceBlock& operator=(const DeviceBlock&) = delete;
  ~DeviceBlock();

  std::byte* bytes() const { return bytes_; }  // null where it is empty
  bool has_allocator() const { return allocator_ != nullptr; }
  // Returns what the allocator said where it gave nothing; it may have said nothing.
  const std::string& complaint() const { return complaint_; }

 private:
  OrtAllocator* allocator_ = nullptr;
  std::byte* bytes_ = nullptr;
  std::string complaint_;
};

}  // namespace wshare
