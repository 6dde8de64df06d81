#pragma once

#include <cstdint>
#include <functional>

namespace wshare {

// Called from any thread: the stage, and bytes done of bytes in total (0 when the total is not
// known).
using ProgressFn = std::function<void(const char* stage, uint64_t done, uint64_t total)>;

}  // namespace wshare
