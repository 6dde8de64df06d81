#pragma once

#include <cstddef>
#include <functional>
#include <span>

namespace wshare {

// Takes bytes that are made piece by piece, front to back.
using ByteSink = std::function<void(std::span<const std::byte>)>;

}  // namespace wshare
