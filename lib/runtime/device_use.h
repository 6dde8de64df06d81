#pragma once

#include <optional>

#include "wshare/device.h"

namespace wshare {

// Returns what the statistics of an allocator say; nothing if they are empty or no numbers.
std::optional<DeviceUse> read_use(const Ort::KeyValuePairs& figures);

}  // namespace wshare
