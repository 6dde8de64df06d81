#include "webgpu/vulkan_counts.h"

#include <vulkan/vk_layer.h>
#include <vulkan/vulkan.h>

#include <array>
#include <atomic>
#include <map>
#include <mutex>
#include <string_view>

// Source: Vulkan-Loader, "Architecture of the Vulkan Loader Interfaces": a layer gives its own
// functions by name, passes all others on, and takes itself out of the chain when an instance or a
// device is made.

namespace {

PFN_vkGetInstanceProcAddr next_instance_function;
PFN_vkGetDeviceProcAddr next_device_function;

// Bytes by handle, and their sum.
template <typename Handle>
class Sizes {
 public:
  void add(Handle handle, uint64_t size) {
    const std::lock_guard lock(mutex_);
    sizes_[handle] = size;
    total_ += size;
  }
  void remove(Handle handle) {
    const std::lock_guard lock(mutex_);
    const auto found = sizes_.find(handle);
    if (found == sizes_.end()) return;
    total_ -= found->second;
    sizes_.erase(found);
  }
  uint64_t total() const { return total_; }

 private:
  std::mutex mutex_;
  std::map<Handle, uint64_t> sizes_;
  std::atomic<uint64_t> total_{0};
};

Sizes<VkBuffer>& buffers() {
  static auto* const sizes = new Sizes<VkBuffer>;  // devices may end after static objects
  return *sizes;
}
Sizes<VkDeviceMemory>& memory() {
  static auto* const sizes = new Sizes<VkDeviceMemory>;
  return *sizes;
}
std::atomic<uint64_t> room{UINT64_MAX};

template <typename Function>
Function next(VkDevice device, const char* name) {
  return reinterpret_cast<Function>(next_device_function(device, name));
}

VkResult create_buffer(VkDevice device, const VkBufferCreateInfo* info,
                       const VkAllocationCallbacks* callbacks, VkBuffer* buffer) {
  const VkResult result =
      next<PFN_vkCreateBuffer>(device, "vkCreateBuffer")(device, info, callbacks, buffer);
  if (result == VK_SUCCESS) buffers().add(*buffer, info->size);
  return result;
}

void destroy_buffer(VkDevice device, VkBuffer buffer, const VkAllocationCallbacks* callbacks) {
  buffers().remove(buffer);
  next<PFN_vkDestroyBuffer>(device, "vkDestroyBuffer")(device, buffer, callbacks);
}

VkResult allocate_memory(VkDevice device, const VkMemoryAllocateInfo* info,
                         const VkAllocationCallbacks* callbacks, VkDeviceMemory* result) {
  const uint64_t used = memory().total();
  if (used > room || info->allocationSize > room - used) return VK_ERROR_OUT_OF_DEVICE_MEMORY;
  const VkResult code =
      next<PFN_vkAllocateMemory>(device, "vkAllocateMemory")(device, info, callbacks, result);
  if (code == VK_SUCCESS) memory().add(*result, info->allocationSize);
  return code;
}

void free_memory(VkDevice device, VkDeviceMemory block, const VkAllocationCallbacks* callbacks) {
  memory().remove(block);
  next<PFN_vkFreeMemory>(device, "vkFreeMemory")(device, block, callbacks);
}

// Returns the link to the next layer in the chain of `info`, which Vulkan gives as const.
template <typename Link, typename Info>
Link& link_of(const Info* info, VkStructureType type) {
  auto* link = static_cast<Link*>(const_cast<void*>(info->pNext));
  while (link->sType != type || link->function != VK_LAYER_LINK_INFO)
    link = static_cast<Link*>(const_cast<void*>(link->pNext));
  return *link;
}

VkResult create_instance(const VkInstanceCreateInfo* info, const VkAllocationCallbacks* callbacks,
                         VkInstance* instance) {
  auto& link =
      link_of<VkLayerInstanceCreateInfo>(info, VK_STRUCTURE_TYPE_LOADER_INSTANCE_CREATE_INFO);
  next_instance_function = link.u.pLayerInfo->pfnNextGetInstanceProcAddr;
  link.u.pLayerInfo = link.u.pLayerInfo->pNext;
  const auto create =
      reinterpret_cast<PFN_vkCreateInstance>(next_instance_function(nullptr, "vkCreateInstance"));
  return create(info, callbacks, instance);
}

VkResult create_device(VkPhysicalDevice physical, const VkDeviceCreateInfo* info,
                       const VkAllocationCallbacks* callbacks, VkDevice* device) {
  auto& link = link_of<VkLayerDeviceCreateInfo>(info, VK_STRUCTURE_TYPE_LOADER_DEVICE_CREATE_INFO);
  next_device_function = link.u.pLayerInfo->pfnNextGetDeviceProcAddr;
  const auto instance_function = link.u.pLayerInfo->pfnNextGetInstanceProcAddr;
  link.u.pLayerInfo = link.u.pLayerInfo->pNext;
  const auto create =
      reinterpret_cast<PFN_vkCreateDevice>(instance_function(nullptr, "vkCreateDevice"));
  return create(physical, info, callbacks, device);
}

PFN_vkVoidFunction own_function(std::string_view name);

PFN_vkVoidFunction device_function(VkDevice device, const char* name) {
  const PFN_vkVoidFunction own = own_function(name);
  return own != nullptr ? own : next_device_function(device, name);
}

PFN_vkVoidFunction instance_function(VkInstance instance, const char* name) {
  const PFN_vkVoidFunction own = own_function(name);
  return own != nullptr ? own : next_instance_function(instance, name);
}

PFN_vkVoidFunction own_function(std::string_view name) {
  struct Entry {
    std::string_view name;
    PFN_vkVoidFunction function;
  };
  const auto entry = [](std::string_view of, auto* function) {
    return Entry{of, reinterpret_cast<PFN_vkVoidFunction>(function)};
  };
  static const std::array own = {entry("vkGetInstanceProcAddr", instance_function),
                                 entry("vkGetDeviceProcAddr", device_function),
                                 entry("vkCreateInstance", create_instance),
                                 entry("vkCreateDevice", create_device),
                                 entry("vkCreateBuffer", create_buffer),
                                 entry("vkDestroyBuffer", destroy_buffer),
                                 entry("vkAllocateMemory", allocate_memory),
                                 entry("vkFreeMemory", free_memory)};
  for (const Entry& each : own) {
    if (each.name == name) return each.function;
  }
  return nullptr;
}

}  // namespace

uint64_t vulkan_buffer_bytes() { return buffers().total(); }

void set_vulkan_room(uint64_t bytes) { room = bytes; }

WSHARE_VULKAN_EXPORT VkResult
vkNegotiateLoaderLayerInterfaceVersion(VkNegotiateLayerInterface* layer) {
  layer->loaderLayerInterfaceVersion = 2;
  layer->pfnGetInstanceProcAddr = instance_function;
  layer->pfnGetDeviceProcAddr = device_function;
  layer->pfnGetPhysicalDeviceProcAddr = nullptr;
  return VK_SUCCESS;
}
