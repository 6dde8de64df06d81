#pragma once

// A layer of Vulkan, for tests: it stands between the loader and a driver, counts the bytes of the
// buffers that live, and refuses memory where it is told to. So it says what a provider that others
// wrote has on its device, whatever the provider itself counts.
//
// The loader opens it by the file beside it, vulkan_counts.json (VK_LAYER_PATH,
// VK_INSTANCE_LAYERS); a test that links the library sees the same counts. It knows one driver at a
// time.

#include <cstdint>

#define WSHARE_VULKAN_EXPORT extern "C" __attribute__((visibility("default")))

// Returns the bytes of all buffers that live in this process.
WSHARE_VULKAN_EXPORT uint64_t vulkan_buffer_bytes();

// How many bytes of device memory there are; all that there is at first.
WSHARE_VULKAN_EXPORT void set_vulkan_room(uint64_t bytes);
