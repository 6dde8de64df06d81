#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "wshare/device.h"

namespace wshare {

struct Upload {
  const std::byte* from;
  std::byte* to;  // on the device
  size_t size;
};

struct StagingSizes {
  size_t half = size_t{4} << 20;    // of staging memory: there are two
  size_t least = size_t{32} << 20;  // what is less in all is not staged
};

// Copies `uploads` to the device; they are there when it returns.
//
// Where the provider offers memory of the host that the device reads by itself (pinned), they go
// through two halves of it: the device takes one while a thread fills the other, so that neither
// waits for the disk or page faults of the other. Else straight from where they are.
//
// Throws Ort::Exception if a copy fails.
void copy_to_device(const Device& device, std::span<const Upload> uploads,
                    const StagingSizes& sizes = {});

// Returns why the buffer of `size` bytes at `buffer` does not give back what is written to it; ""
// if it does. Some providers give out a buffer where there is no room, and say of no copy to it
// that it failed.
std::string why_not_kept(const Device& device, std::byte* buffer, size_t size);

}  // namespace wshare
