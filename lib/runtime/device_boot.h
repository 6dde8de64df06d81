#pragma once

#include <mutex>

#include "wshare/device.h"

namespace wshare {

// True if pointers into the memory of `device` are addresses, to which an offset can be added.
// Else each is the handle of a whole buffer, as on devices that are reached through a graphics API.
// Nothing in ONNX Runtime's API tells which, and with an offset a handle is another object's, so
// they are addresses where that is known: in memory of NVIDIA's kind.
bool has_addresses(Ort::ConstEpDevice device);

// Makes a session on `device` that computes nothing, once per process, before the device is asked
// for memory. What is wrong there becomes an error, where the allocators of some plugins end the
// process (no usable GPU); and it is the first of the device, whose options count for what all
// sessions there have in common. It stays. On devices with addresses there is no need, and nothing
// happens.
//
// Throws Error(kUnsupported) with what the provider says.
void boot(const Device& device);

// Returns a lock that makes whoever calls this for `device` take turns. Providers whose memory has
// handles are not made for uploads beside runs, nor always for two runs at once. On devices with
// addresses the lock is empty. The same thread may take it again.
[[nodiscard]] std::unique_lock<std::recursive_mutex> take_turn(const Device& device);

}  // namespace wshare
