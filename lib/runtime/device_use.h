#pragma once

#include <optional>

#include "wshare/device.h"

namespace wshare {

// Returns what the statistics of an allocator say; nothing if they are empty or no numbers.
std::optional<DeviceUse> read_use(const Ort::KeyValuePairs& figures);

// Returns what the arena of `session` on the CPU has given out, or the one that it shares; nothing
// where none counts that (before 1.23).
std::optional<DeviceUse> arena_use(const Ort::Session& session);

}  // namespace wshare
